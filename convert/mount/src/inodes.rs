//! The numbers that the kernel knows the guest's files by.

use std::collections::HashMap;
use std::rc::Rc;

/// Where a file of a guest is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The tree's number.
    pub(crate) tree: usize,
    /// Its path there, `/` for the root.
    pub(crate) path: Rc<str>,
}

/// A number for each path that the kernel looked up, until it forgets it. Numbers are never given twice.
pub(crate) struct Inodes {
    places: HashMap<u64, (Place, u64)>,
    numbers: HashMap<Place, u64>,
    next: u64,
}

impl Inodes {
    /// Numbers from `first` on.
    pub(crate) fn new(first: u64) -> Self {
        Self { places: HashMap::new(), numbers: HashMap::new(), next: first }
    }

    /// The number of `place`, which the kernel knows once more from now on.
    pub(crate) fn look_up(&mut self, place: Place) -> u64 {
        let next = &mut self.next;
        let number = *self.numbers.entry(place.clone()).or_insert_with(|| {
            let number = *next;
            *next += 1;
            number
        });
        self.places.entry(number).or_insert((place, 0)).1 += 1;
        number
    }

    /// The kernel gives back `count` of its look-ups.
    pub(crate) fn forget(&mut self, number: u64, count: u64) {
        let Some((_, known)) = self.places.get_mut(&number) else { return };
        *known = known.saturating_sub(count);
        if *known == 0
            && let Some((place, _)) = self.places.remove(&number)
        {
            self.numbers.remove(&place);
        }
    }

    pub(crate) fn place(&self, number: u64) -> Option<&Place> {
        self.places.get(&number).map(|(place, _)| place)
    }

    /// The number of `place` if the kernel knows it.
    pub(crate) fn known(&self, place: &Place) -> Option<u64> {
        self.numbers.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_holds_until_the_last_look_up_is_given_back() {
        let mut inodes = Inodes::new(10);
        let place = |path: &str| Place { tree: 0, path: path.into() };
        assert_eq!([inodes.look_up(place("/a")), inodes.look_up(place("/b"))], [10, 11]);
        assert_eq!(inodes.look_up(place("/a")), 10);
        inodes.forget(10, 1);
        assert_eq!(inodes.place(10), Some(&place("/a")));
        inodes.forget(10, 1);
        inodes.forget(10, 1);
        assert_eq!((inodes.place(10), inodes.known(&place("/a"))), (None, None));
        assert_eq!((inodes.places.len(), inodes.numbers.len()), (1, 1));
        assert_eq!(inodes.look_up(place("/a")), 12, "a number is not given twice");
        inodes.forget(11, u64::MAX);
        assert_eq!(inodes.place(11), None);
    }
}
