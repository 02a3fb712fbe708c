//! The other engines: rbpf, and uBPF where it could be built.

use crate::Result;

/// A program made ready on one engine: runs it once over the memory.
pub type Ready<'a> = Box<dyn Fn(&mut [u8]) -> Result<u64> + 'a>;

/// rbpf gives no length in r2: the program gets it as its first instruction.
fn with_length(code: &[u8]) -> Vec<u8> {
    const TOTAL: u32 = 16 + 4096 + 4096;
    let [a, b, c, d] = TOTAL.to_le_bytes();
    [&[0xb7, 2, 0, 0, a, b, c, d], code].concat()
}

/// rbpf's check of a program and its compiler.
pub fn rbpf_ready(code: &[u8]) -> Result<()> {
    let mut vm = rbpf::EbpfVmRaw::new(Some(code))?;
    Ok(vm.jit_compile()?)
}

/// A program on every engine of the peers.
pub fn engines<'a>(code: &'a [u8]) -> Result<Vec<(&'static str, Ready<'a>)>> {
    let code: &'static [u8] = Vec::leak(with_length(code));
    let mut engines: Vec<(&'static str, Ready<'a>)> = Vec::new();
    // rbpf ties the program's memory to the machine's lifetime, hence a machine for the memory of each run; making one from a
    // program that was checked is cheap beside a run, but its compiler's code must stay.
    let interpreter = rbpf::EbpfVmRaw::new(Some(code))?;
    engines.push(("rbpf-interp", Box::new(move |memory| Ok(interpreter.execute_program(forever(memory))?))));
    let mut compiled = rbpf::EbpfVmRaw::new(Some(code))?;
    compiled.jit_compile()?;
    engines.push((
        "rbpf-jit",
        Box::new(move |memory| {
            // SAFETY: the program stays within its memory: it was run with every check before.
            Ok(unsafe { compiled.execute_program_jit(forever(memory)) }?)
        }),
    ));
    #[cfg(feature = "ubpf")]
    ubpf::engines(&code[8..], &mut engines)?;
    Ok(engines)
}

/// For rbpf, whose machine wants memory that lives as long as itself though it uses it during a run only.
fn forever(memory: &mut [u8]) -> &'static mut [u8] {
    // SAFETY: the machine keeps no reference to it when a run is over.
    unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr(), memory.len()) }
}

#[cfg(feature = "ubpf")]
pub use ubpf::ready as ubpf_ready;

#[cfg(feature = "ubpf")]
mod ubpf {
    use super::Ready;
    use crate::{Failure, Result};
    use libubpf_sys::{ubpf_compile, ubpf_create, ubpf_destroy, ubpf_exec, ubpf_load, ubpf_vm};
    use std::{
        ffi::{c_char, CStr},
        ptr,
    };

    /// A machine with a program; freed when dropped.
    struct Vm(*mut ubpf_vm);

    impl Drop for Vm {
        fn drop(&mut self) {
            // SAFETY: it came from ubpf_create and is freed once.
            unsafe { ubpf_destroy(self.0) }
        }
    }

    fn failure(message: *mut c_char) -> Failure {
        if message.is_null() {
            return Failure("uBPF failed".into());
        }
        // SAFETY: uBPF gives a string with its end. It is left to itself: the process ends with this.
        Failure(unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned())
    }

    fn load(code: &[u8]) -> Result<Vm> {
        let mut message = ptr::null_mut();
        // SAFETY: takes nothing.
        let vm = Vm(unsafe { ubpf_create() });
        // SAFETY: the machine is new, the code is copied.
        match unsafe { ubpf_load(vm.0, code.as_ptr().cast(), code.len() as u32, &mut message) } {
            0 => Ok(vm),
            _ => Err(failure(message)),
        }
    }

    type Function = unsafe extern "C" fn(*mut std::ffi::c_void, usize) -> u64;

    fn compile(vm: &Vm) -> Result<Function> {
        let mut message = ptr::null_mut();
        // SAFETY: a program was loaded.
        unsafe { ubpf_compile(vm.0, &mut message) }.ok_or_else(|| failure(message))
    }

    /// Its check of a program and its compiler.
    pub fn ready(code: &[u8]) -> Result<()> {
        compile(&load(code)?).map(drop)
    }

    pub fn engines<'a>(code: &[u8], engines: &mut Vec<(&'static str, Ready<'a>)>) -> Result<()> {
        let vm = load(code)?;
        engines.push((
            "ubpf-interp",
            Box::new(move |memory| {
                // The whole machine, so that it lives as long as this.
                let vm = &vm;
                let mut value = 0;
                // SAFETY: the machine has a program, which is checked at every access.
                match unsafe { ubpf_exec(vm.0, memory.as_mut_ptr().cast(), memory.len(), &mut value) } {
                    0 => Ok(value),
                    _ => Err("uBPF stopped the program".into()),
                }
            }),
        ));
        let vm = load(code)?;
        let function = compile(&vm)?;
        engines.push((
            "ubpf-jit",
            Box::new(move |memory| {
                let _its_code_stays = &vm;
                // SAFETY: the program stays within its memory: it was run with every check before.
                Ok(unsafe { function(memory.as_mut_ptr().cast(), memory.len()) })
            }),
        ));
        Ok(())
    }
}
