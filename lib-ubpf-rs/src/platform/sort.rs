//! Sorting in little code. The standard library's sorts are the fastest there are, and bring 6 to 10 KiB of machine code for
//! each type that is sorted; an image has better use for that. Here types share the sorting, and have comparing and swapping of their own.

use core::convert::Infallible;

/// Sorts ascending, in place, in O(n log n) comparisons (heap sort). Equal items may change places.
pub fn sort_by<T>(list: &mut [T], before: impl Fn(&T, &T) -> bool) {
    let _ = sort_by_in_pieces(list, before, || Ok::<(), Infallible>(()));
}

/// Sorts as [`sort_by`] does, and calls `pause` again and again meanwhile; when that is an error the list is left in any order.
pub fn sort_by_in_pieces<T, E>(
    list: &mut [T],
    before: impl Fn(&T, &T) -> bool,
    mut pause: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    let mut result = Ok(());
    let len = list.len();
    heap_sort(&mut SortedPlaces { list, before }, len, &mut || {
        result = pause();
        result.is_ok()
    });
    result
}

/// Sorts numbers and the like.
pub fn sort<T: Ord>(list: &mut [T]) {
    sort_by(list, T::lt);
}

/// A list, whatever it is of.
trait Sortable {
    /// Whether what is in one place belongs before what is in another.
    fn before(&self, one: usize, other: usize) -> bool;
    fn swap(&mut self, one: usize, other: usize);
}

struct SortedPlaces<'l, T, F> {
    list: &'l mut [T],
    before: F,
}

impl<T, F: Fn(&T, &T) -> bool> Sortable for SortedPlaces<'_, T, F> {
    fn before(&self, one: usize, other: usize) -> bool {
        let two = self.list.get(one).zip(self.list.get(other));
        two.is_some_and(|(one, other)| (self.before)(one, other))
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.list.swap(one, other);
    }
}

/// Sorts so many places, until `go_on` says no.
fn heap_sort(places: &mut dyn Sortable, len: usize, go_on: &mut dyn FnMut() -> bool) {
    let heap = (0..len / 2).rev().map(|root| (root, len, false));
    let sorted = (1..len).rev().map(|end| (0, end, true));
    for (root, end, largest_is_found) in heap.chain(sorted) {
        if largest_is_found {
            places.swap(0, end);
        }
        sift(places, root, end);
        if !go_on() {
            return;
        }
    }
}

/// Moves the item at `root` down until none below it is larger.
fn sift(places: &mut dyn Sortable, mut root: usize, end: usize) {
    loop {
        let mut child = 2 * root + 1;
        if child + 1 < end && places.before(child, child + 1) {
            child += 1;
        }
        if child >= end || !places.before(root, child) {
            return;
        }
        places.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use super::{sort, sort_by};
    use std::vec::Vec;

    #[test]
    fn sorts_like_the_standard_library() {
        let mut state = 1u64;
        for len in (0..70).chain([1000]) {
            let mut list: Vec<u64> = Vec::new();
            for _ in 0..len {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                list.push(state >> 58);
            }
            let mut expected = list.clone();
            expected.sort();
            sort(&mut list);
            assert_eq!(list, expected);
            sort_by(&mut list, |a, b| a > b);
            expected.reverse();
            assert_eq!(list, expected);
        }
    }
}
