//! A list that grows without copying: what is large stays where it is, and no more is taken than one piece beyond what is there.

use super::VerifyError;
use alloc::vec::Vec;

/// Items of one piece.
const PIECE: usize = 16;

/// A list in pieces.
pub(super) struct Chunks<T> {
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T> Chunks<T> {
    pub(super) const fn new() -> Chunks<T> {
        Chunks { pieces: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, item: T) -> Result<(), VerifyError> {
        let number = self.len / PIECE;
        if number >= self.pieces.len() {
            let mut piece = Vec::new();
            piece.try_reserve_exact(PIECE).map_err(|_| VerifyError::NoMemory)?;
            self.pieces.try_reserve(1).map_err(|_| VerifyError::NoMemory)?;
            self.pieces.push(piece);
        }
        if let Some(piece) = self.pieces.get_mut(number) {
            piece.push(item);
            self.len = self.len.wrapping_add(1);
        }
        Ok(())
    }

    /// Takes the last one.
    pub(super) fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let item = self.pieces.get_mut(last / PIECE)?.pop()?;
        self.len = last;
        // One empty piece is kept.
        if self.pieces.len() > (last / PIECE).wrapping_add(2) {
            self.pieces.pop();
        }
        Some(item)
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        self.pieces.get(index / PIECE)?.get(index % PIECE)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.pieces.get_mut(index / PIECE)?.get_mut(index % PIECE)
    }
}
