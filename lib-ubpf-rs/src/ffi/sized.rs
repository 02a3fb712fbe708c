//! Structs that begin with their size, so that a caller of an older or a newer header is understood.

/// A struct of the C interface that begins with its size, so that a caller of another version is understood.
///
/// # Safety
/// `repr(C)`, with a `usize` first, for which and for whose other fields all zeros are valid: fields are numbers and pointers.
pub unsafe trait Versioned: Copy {
    /// For the message: the size that it may not have.
    const WRONG_SIZE: &'static str;
    /// For the message: it has more than this library knows of.
    const UNKNOWN: &'static str;
}

/// Why a struct is not understood, in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SizeError {
    /// Its size cannot be that of this struct.
    Wrong(&'static str),
    /// It has something that this library does not know of.
    Unknown(&'static str),
}

/// Larger than any of them will be: what has this size was never filled in.
const LARGEST: usize = 4096;

/// The size that a struct says it has.
///
/// # Safety
/// `from` is not NULL, and readable as far as it says itself.
unsafe fn size_of_sized<T: Versioned>(from: *const T) -> Result<usize, SizeError> {
    // SAFETY: as the caller promises; the size stands first.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    match (size_of::<usize>()..=LARGEST).contains(&size) {
        true => Ok(size),
        false => Err(SizeError::Wrong(T::WRONG_SIZE)),
    }
}

/// A copy of a struct, `None` for NULL: what an older caller does not have is zero, and what a newer one has beyond this
/// library's must be.
///
/// # Safety
/// `from` is NULL, or readable as far as it says itself.
pub unsafe fn sized<T: Versioned>(from: *const T) -> Result<Option<T>, SizeError> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let size = unsafe { size_of_sized(from) }?;
    let mut copy = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: as many bytes are readable there, and both are within their structs; zeros and the caller's bytes are valid.
    let (copy, rest) = unsafe {
        let known = size.min(size_of::<T>());
        core::ptr::copy_nonoverlapping(from.cast::<u8>(), copy.as_mut_ptr().cast(), known);
        let rest = core::slice::from_raw_parts(from.cast::<u8>().add(known), size.saturating_sub(known));
        (copy.assume_init(), rest)
    };
    match rest.iter().all(|&byte| byte == 0) {
        true => Ok(Some(copy)),
        false => Err(SizeError::Unknown(T::UNKNOWN)),
    }
}

/// Gives a struct to the caller, as much of it as it has, with its own size; what it has beyond becomes zero.
///
/// # Safety
/// `into` is not NULL, readable for its size, and writable as far as it says itself.
pub(super) unsafe fn give<T: Versioned>(into: *mut T, value: &T) -> Result<(), SizeError> {
    // SAFETY: as the caller promises.
    unsafe {
        let size = size_of_sized(into)?;
        let known = size.min(size_of::<T>());
        let bytes = into.cast::<u8>();
        core::ptr::copy_nonoverlapping(core::ptr::from_ref(value).cast::<u8>(), bytes, known);
        core::ptr::write_bytes(bytes.add(known), 0, size.saturating_sub(known));
        into.cast::<usize>().write_unaligned(size);
    }
    Ok(())
}
