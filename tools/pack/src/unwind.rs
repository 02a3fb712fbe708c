//! Calls on a stack, by the unwind tables of an image (`.eh_frame`, `.debug_frame`): no frame pointers are needed.

use crate::image::Slice;
use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EhFrame, EndianSlice, Evaluation, EvaluationResult, Expression, LittleEndian,
    Register, RegisterRule, UnwindContext, UnwindExpression, UnwindSection, Value,
};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// Registers that calls keep, as DWARF numbers them: rbx, rbp, rsp, r12 to r15, and the address where it goes on.
#[derive(Clone, Copy, Default, Debug)]
pub struct Kept([Option<u64>; 17]);

const RBX: u16 = 3;
const RBP: u16 = 6;
const RSP: u16 = 7;
/// Where it goes on.
const GOES_ON: u16 = 16;
/// Those that an unwinder follows, but for rsp.
const FOLLOWED: [u16; 7] = [RBX, RBP, 12, 13, 14, 15, GOES_ON];

impl Kept {
    /// From their values: ip, sp, bp, bx, r12 to r15.
    pub fn new([ip, sp, bp, bx, r12, r13, r14, r15]: [u64; 8]) -> Kept {
        let mut kept = Kept::default();
        let all = [(GOES_ON, ip), (RSP, sp), (RBP, bp), (RBX, bx), (12, r12), (13, r13), (14, r14), (15, r15)];
        all.into_iter().for_each(|(number, value)| kept.set(number, Some(value)));
        kept
    }

    fn get(&self, number: u16) -> Option<u64> {
        self.0.get(usize::from(number)).copied().flatten()
    }

    fn set(&mut self, number: u16, value: Option<u64>) {
        if let Some(place) = self.0.get_mut(usize::from(number)) {
            *place = value;
        }
    }
}

/// Why a stack was followed no further.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// It is the outermost call.
    Outermost,
    /// Of the last address nothing is known: it is not of this image, or stands in code without unwind information.
    Unknown,
    /// The rest of the stack is not there.
    Cut,
    /// There were as many as were asked for.
    Enough,
}

/// The unwind tables of an image.
pub struct Unwinder {
    eh_frame: Vec<u8>,
    debug_frame: Vec<u8>,
    bases: BaseAddresses,
    /// Ascending by where they begin: begin and end of functions, where they are described, and whether that is in `.debug_frame`.
    functions: Vec<(u64, u64, usize, bool)>,
    /// Functions by which the image is found in memory.
    known: Vec<(String, u64)>,
}

/// Functions that are kept for that.
const KNOWN: usize = 64;
/// Steps of an expression.
const STEPS: u32 = 1000;

impl Unwinder {
    /// Those of a file with unwind tables: an image, its debug file, or a program.
    ///
    /// # Errors
    /// In words: it is no such file, or has none.
    pub fn read(file: &[u8]) -> Result<Unwinder, String> {
        let object = object::File::parse(file).map_err(|error| error.to_string())?;
        let section = |name: &str| -> Result<(Vec<u8>, u64), String> {
            let Some(section) = object.section_by_name(name) else { return Ok(Default::default()) };
            // A debug file has no more than the heading of what the image has.
            let data = section.uncompressed_data().map_err(|error| format!("{name}: {error}"))?;
            Ok((data.into_owned(), section.address()))
        };
        let ((eh_frame, at), (debug_frame, _)) = (section(".eh_frame")?, section(".debug_frame")?);
        let bases = BaseAddresses::default().set_eh_frame(at).set_text(section(".text")?.1).set_got(section(".got")?.1);
        let functions = object.symbols().filter(|symbol| symbol.is_definition() && symbol.is_global());
        let functions = functions.filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.address() != 0);
        let known = functions.filter_map(|symbol| Some((symbol.name().ok()?.to_string(), symbol.address())));
        let known = known.take(KNOWN).collect();
        let mut unwinder = Unwinder { eh_frame, debug_frame, bases, functions: Vec::new(), known };
        let mut functions = described(&unwinder.eh_frame(), &unwinder.bases, false);
        functions.extend(described(&unwinder.debug_frame(), &unwinder.bases, true));
        functions.sort_unstable();
        if functions.is_empty() {
            return Err("it has no unwind tables (.eh_frame, .debug_frame): give the image's debug file (.dbg), or the program itself".into());
        }
        unwinder.functions = functions;
        Ok(unwinder)
    }

    /// Some of its functions, with their addresses in the file.
    pub fn known(&self) -> &[(String, u64)] {
        &self.known
    }

    fn eh_frame(&self) -> EhFrame<Slice<'_>> {
        let mut section = EhFrame::new(&self.eh_frame, LittleEndian);
        section.set_address_size(8);
        section
    }

    fn debug_frame(&self) -> DebugFrame<Slice<'_>> {
        let mut section = DebugFrame::new(&self.debug_frame, LittleEndian);
        section.set_address_size(8);
        section
    }

    /// Where it is, and the addresses that calls return to, the innermost first, `most` at most; and why there are no more. `stack` is what lies
    /// where rsp points, and the image lies `moved` bytes behind where its file says.
    pub fn calls(&self, registers: Kept, stack: &[u8], moved: u64, most: usize) -> (Vec<u64>, End) {
        let memory = Memory { base: registers.get(RSP).unwrap_or(0), stack };
        let (mut registers, mut calls, mut interrupted) = (registers, Vec::new(), true);
        while let Some(at) = registers.get(GOES_ON).filter(|at| *at != 0) {
            if calls.len() >= most {
                return (calls, End::Enough);
            }
            calls.push(at);
            // A call stands before where it returns to, which may be behind the function.
            let place = at.wrapping_sub(moved).wrapping_sub(u64::from(!interrupted));
            let Some(&(_, end, offset, in_debug_frame)) = self.function(place) else { return (calls, End::Unknown) };
            if place >= end {
                return (calls, End::Unknown);
            }
            let step = match in_debug_frame {
                false => step(&self.eh_frame(), offset.into(), &self.bases, place, moved, &registers, &memory),
                true => step(&self.debug_frame(), offset.into(), &self.bases, place, moved, &registers, &memory),
            };
            match step {
                Ok(FrameStep { caller, signal }) => (registers, interrupted) = (caller, signal),
                Err(end) => return (calls, end),
            }
        }
        (calls, End::Outermost)
    }

    fn function(&self, place: u64) -> Option<&(u64, u64, usize, bool)> {
        let after = self.functions.partition_point(|function| function.0 <= place);
        self.functions.get(after.checked_sub(1)?)
    }
}

/// Functions that a section describes, as far as it can be read.
fn described<'d, S: UnwindSection<Slice<'d>>>(
    section: &S,
    bases: &BaseAddresses,
    in_debug_frame: bool,
) -> Vec<(u64, u64, usize, bool)> {
    let (mut all, mut entries) = (Vec::new(), section.entries(bases));
    while let Ok(Some(entry)) = entries.next() {
        let gimli::CieOrFde::Fde(part) = entry else { continue };
        if let Ok(function) = part.parse(S::cie_from_offset) {
            let place = (function.initial_address(), function.end_address(), function.offset(), in_debug_frame);
            all.extend((place.0 != 0 && place.0 < place.1).then_some(place));
        }
    }
    all
}

/// One call outwards.
struct FrameStep {
    caller: Kept,
    /// The caller was interrupted there.
    signal: bool,
}

/// What is known of the stack.
struct Memory<'s> {
    base: u64,
    stack: &'s [u8],
}

impl Memory<'_> {
    fn word(&self, address: u64) -> Result<u64, End> {
        let at = usize::try_from(address.wrapping_sub(self.base)).map_err(|_| End::Cut)?;
        let word = at.checked_add(8).and_then(|end| self.stack.get(at..end)).and_then(|word| word.try_into().ok());
        word.map(u64::from_le_bytes).ok_or(End::Cut)
    }
}

fn step<'d, S>(
    section: &S,
    offset: S::Offset,
    bases: &BaseAddresses,
    place: u64,
    moved: u64,
    registers: &Kept,
    memory: &Memory<'_>,
) -> Result<FrameStep, End>
where
    S: UnwindSection<Slice<'d>>,
{
    let unknown = |_| End::Unknown;
    let function = section.fde_from_offset(bases, offset, S::cie_from_offset).map_err(unknown)?;
    let mut context = UnwindContext::new();
    let row = function.unwind_info_for_address(section, bases, &mut context, place).map_err(unknown)?;
    let encoding = function.cie().encoding();
    let value = |expression: &UnwindExpression<usize>, first: Option<u64>| {
        let expression = expression.get(section).map_err(unknown)?;
        evaluated(expression, encoding, first, moved, registers, memory)
    };
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            registers.get(register.0).ok_or(End::Unknown)?.wrapping_add_signed(*offset)
        }
        CfaRule::Expression(expression) => value(expression, None)?,
    };
    // A stack that does not move on has no end.
    if registers.get(RSP).is_none_or(|sp| cfa <= sp) {
        return Err(End::Unknown);
    }
    let mut caller = Kept::default();
    caller.set(RSP, Some(cfa));
    for number in FOLLOWED {
        let found = match row.register(Register(number)) {
            RegisterRule::Undefined if number == GOES_ON => return Err(End::Outermost),
            // What nothing is said of stays as it is.
            RegisterRule::Undefined | RegisterRule::SameValue => Ok(registers.get(number)),
            RegisterRule::Offset(offset) => memory.word(cfa.wrapping_add_signed(offset)).map(Some),
            RegisterRule::ValOffset(offset) => Ok(Some(cfa.wrapping_add_signed(offset))),
            RegisterRule::Register(other) => Ok(registers.get(other.0)),
            RegisterRule::Expression(expression) => {
                value(&expression, Some(cfa)).and_then(|at| memory.word(at)).map(Some)
            }
            RegisterRule::ValExpression(expression) => value(&expression, Some(cfa)).map(Some),
            RegisterRule::Constant(value) => Ok(Some(value)),
            _ => Err(End::Unknown),
        };
        match found {
            Ok(value) => caller.set(number, value),
            Err(end) if number == GOES_ON => return Err(end),
            // It may not be needed.
            Err(_) => {}
        }
    }
    Ok(FrameStep { caller, signal: function.is_signal_trampoline() })
}

/// The value of an expression, which begins with `first`.
fn evaluated(
    expression: Expression<EndianSlice<'_, LittleEndian>>,
    encoding: gimli::Encoding,
    first: Option<u64>,
    moved: u64,
    registers: &Kept,
    memory: &Memory<'_>,
) -> Result<u64, End> {
    let unknown = |_| End::Unknown;
    let mut evaluation: Evaluation<Slice<'_>> = expression.evaluation(encoding);
    evaluation.set_max_iterations(STEPS);
    first.into_iter().for_each(|first| evaluation.set_initial_value(first));
    let mut state = evaluation.evaluate().map_err(unknown)?;
    loop {
        state = match state {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresRegister { register, .. } => {
                let value = registers.get(register.0).ok_or(End::Unknown)?;
                evaluation.resume_with_register(Value::Generic(value)).map_err(unknown)?
            }
            EvaluationResult::RequiresMemory { address, size: 8, .. } => {
                evaluation.resume_with_memory(Value::Generic(memory.word(address)?)).map_err(unknown)?
            }
            EvaluationResult::RequiresRelocatedAddress(address) => {
                evaluation.resume_with_relocated_address(address.wrapping_add(moved)).map_err(unknown)?
            }
            _ => return Err(End::Unknown),
        };
    }
    match evaluation.value_result() {
        Some(Value::Generic(value)) => Ok(value),
        _ => Err(End::Unknown),
    }
}
