//! An image without the compiler: every program is interpreted.

use super::host::Services;
use crate::{
    helpers::Registry,
    maps::Maps,
    platform::{ExecMemory, Platform},
    program::Abi,
    verifier::{VerifiedProgram, Work},
    vm::{Direct, Interpreter},
};
use alloc::sync::Arc;

pub(super) const WHY_NOT: Option<&str> = Some("this image was built without the compiler");

pub(super) fn share_pages(platform: Platform) -> Platform {
    platform
}

pub(super) fn give_back_pages() {}

/// There are none where no program runs directly.
pub(super) enum Helpers {}

impl Helpers {
    pub(super) fn block(&self) -> u64 {
        match *self {}
    }
}

pub(super) fn helpers_of(
    _program: &Direct,
    _around: (Abi, Option<Arc<Maps>>),
    _registry: &'static Registry,
    _services: &'static Services,
) -> Option<Helpers> {
    None
}

#[allow(clippy::result_large_err)] // the program is given back
pub(super) fn compile(
    program: VerifiedProgram,
    _maps: Option<Arc<Maps>>,
    _memory: &'static dyn ExecMemory,
    _work: &mut Work<'_>,
) -> Result<Interpreter, (VerifiedProgram, Option<&'static str>)> {
    Err((program, WHY_NOT))
}
