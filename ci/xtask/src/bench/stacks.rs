//! What a stack trace takes.

use super::{results::Figure, Plan};
use crate::Result;

/// Nanoseconds within which an image is to have the number of a stack of 16 frames.
const MOST: f64 = 150.0;

/// The walk and the number of it apart, and both.
pub fn run(plan: &Plan) -> Result<Vec<Figure>> {
    let passes = if plan.smoke { "2" } else { "40" };
    let samples = plan.sample(&plan.program, &["stacks", passes])?;
    let mut figures = vec![Figure::at_most("stack.id.16", samples.of("stack.id.16")?, "ns", MOST)];
    for name in samples.names("stack.").into_iter().map(|name| format!("stack.{name}")) {
        if name != "stack.id.16" {
            figures.push(Figure::plain(name.clone(), samples.of(&name)?, "ns"));
        }
    }
    Ok(figures)
}
