//! What was made of a guest's files, kept for the next one who asks.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;

/// The oldest of more bytes go: more than a dozen ordinary kernels take.
const MAX_BYTES: usize = 64 << 20;
/// And of more values.
const MAX_KEPT: usize = 256;

/// Values by their type and a name. They hold as long as the tree that they were made of is not changed.
#[derive(Default)]
pub(crate) struct Memo {
    kept: RefCell<Vec<Kept>>,
}

struct Kept {
    key: (TypeId, String),
    value: Rc<dyn Any>,
    bytes: usize,
}

impl Memo {
    /// The value of that type and name; `make` makes it when it is not there. What fails is not kept, nor what takes more
    /// bytes than all may.
    pub(crate) fn get<T: Any, E>(
        &self,
        name: &str,
        bytes: impl FnOnce(&T) -> usize,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Rc<T>, E> {
        let key = (TypeId::of::<T>(), name.to_owned());
        let found = self.kept.borrow().iter().find(|kept| kept.key == key).map(|kept| Rc::clone(&kept.value));
        if let Some(value) = found.and_then(|value| value.downcast::<T>().ok()) {
            return Ok(value);
        }
        let value = Rc::new(make()?);
        let bytes = bytes(&value);
        let mut kept = self.kept.borrow_mut();
        let mut sum: usize = kept.iter().map(|kept| kept.bytes).sum();
        while bytes <= MAX_BYTES && !kept.is_empty() && (sum + bytes > MAX_BYTES || kept.len() >= MAX_KEPT) {
            sum -= kept.remove(0).bytes;
        }
        if bytes <= MAX_BYTES {
            kept.push(Kept { key, value: Rc::clone(&value) as Rc<dyn Any>, bytes });
        }
        Ok(value)
    }

    pub(crate) fn forget(&mut self) {
        self.kept.get_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_made_once_by_type_and_name() {
        let mut memo = Memo::default();
        fn known<T: Any + Copy>(memo: &Memo, name: &str, value: T) -> T {
            *memo.get(name, |_| 1, || Ok::<_, ()>(value)).unwrap()
        }
        assert_eq!(known(&memo, "a", 1_u32), 1);
        assert_eq!(known(&memo, "a", 5_u32), 1, "not made again");
        assert_eq!(known(&memo, "a", 2_u64), 2, "another type");
        assert_eq!(memo.get::<u8, _>("a", |_| 1, || Err("no")), Err("no"));
        assert_eq!(known(&memo, "a", 3_u8), 3, "a failure is not kept");
        for number in 0..2 * MAX_KEPT {
            known(&memo, &number.to_string(), number);
        }
        assert!(memo.kept.borrow().len() <= MAX_KEPT);
        for (bytes, kept) in [(MAX_BYTES + 1, false), (MAX_BYTES, true)] {
            memo.get("large", |_| bytes, || Ok::<_, ()>('x')).unwrap();
            assert_eq!(memo.kept.borrow().iter().any(|one| one.key.1 == "large"), kept);
        }
        assert_eq!(memo.kept.borrow().len(), 1, "nothing else beside it");
        memo.forget();
        assert_eq!(known(&memo, "99", 7_usize), 7);
    }
}
