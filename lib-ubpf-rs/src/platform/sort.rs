//! Sorting in little code. The standard library's sorts are the fastest there are, and bring 6 to 10 KiB of machine code for
//! each type that is sorted; an image has better use for that.

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
    for root in (0..list.len() / 2).rev() {
        sift(list, root, &before);
        pause()?;
    }
    for end in (1..list.len()).rev() {
        list.swap(0, end);
        let (heap, _) = list.split_at_mut(end);
        sift(heap, 0, &before);
        pause()?;
    }
    Ok(())
}

/// Sorts numbers and the like.
pub fn sort<T: Ord>(list: &mut [T]) {
    sort_by(list, T::lt);
}

/// Moves the item at `root` down until none below it is larger.
fn sift<T>(heap: &mut [T], mut root: usize, before: &impl Fn(&T, &T) -> bool) {
    while let Some(left) = heap.get(2 * root + 1) {
        let mut child = 2 * root + 1;
        if heap.get(child + 1).is_some_and(|right| before(left, right)) {
            child += 1;
        }
        if !before(&heap[root], &heap[child]) {
            return;
        }
        heap.swap(root, child);
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
