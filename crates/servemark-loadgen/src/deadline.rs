//! Deadlines that mostly never pass: set and cleared in constant time, with memory for the slots in use only.

const NONE: u32 = u32::MAX;

/// Deadlines of numbered slots, in order of time.
///
/// A doubly linked list over an array. All deadlines of one list come from the same limit, so a new one nearly always
/// belongs at the end; setting it looks backwards from there. A queue that drops dead entries only when their time has
/// come would hold 120 s of requests.
#[derive(Debug)]
pub(crate) struct Deadlines {
    slots: Vec<Slot>,
    first: u32,
    last: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    at_ns: i64,
    previous: u32,
    next: u32,
    is_set: bool,
}

impl Deadlines {
    /// No deadline.
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            first: NONE,
            last: NONE,
        }
    }

    /// The earliest deadline, or `i64::MAX`.
    pub(crate) fn next_ns(&self) -> i64 {
        self.slots
            .get(self.first as usize)
            .map_or(i64::MAX, |slot| slot.at_ns)
    }

    /// Set the deadline of `slot`, which has none.
    pub(crate) fn set(&mut self, slot: usize, at_ns: i64) {
        if slot >= self.slots.len() {
            let unset = Slot {
                at_ns: 0,
                previous: NONE,
                next: NONE,
                is_set: false,
            };
            self.slots.resize(slot + 1, unset);
        }
        debug_assert!(!self.slots[slot].is_set);
        let mut previous = self.last;
        while previous != NONE && self.slots[previous as usize].at_ns > at_ns {
            previous = self.slots[previous as usize].previous;
        }
        let next = if previous == NONE {
            self.first
        } else {
            self.slots[previous as usize].next
        };
        self.slots[slot] = Slot {
            at_ns,
            previous,
            next,
            is_set: true,
        };
        self.link(previous, next, slot as u32, slot as u32);
    }

    /// Clear the deadline of `slot`, if it has one.
    pub(crate) fn clear(&mut self, slot: usize) {
        let Some(entry) = self.slots.get_mut(slot) else {
            return;
        };
        if std::mem::take(&mut entry.is_set) {
            let Slot { previous, next, .. } = *entry;
            self.link(previous, next, next, previous);
        }
    }

    /// Clear and return a slot whose deadline has passed at `now_ns`.
    pub(crate) fn take_passed(&mut self, now_ns: i64) -> Option<usize> {
        if self.next_ns() > now_ns {
            return None;
        }
        let slot = self.first as usize;
        self.clear(slot);
        Some(slot)
    }

    /// Let `previous` be followed by `after_previous`, and `next` be preceded by `before_next`.
    fn link(&mut self, previous: u32, next: u32, after_previous: u32, before_next: u32) {
        match self.slots.get_mut(previous as usize) {
            Some(slot) => slot.next = after_previous,
            None => self.first = after_previous,
        }
        match self.slots.get_mut(next as usize) {
            Some(slot) => slot.previous = before_next,
            None => self.last = before_next,
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_pass_in_order_of_time_however_they_were_set() {
        let mut deadlines = Deadlines::new();
        for (slot, at_ns) in [(4, 40), (0, 10), (9, 90), (2, 20), (3, 20)] {
            deadlines.set(slot, at_ns);
        }
        deadlines.clear(4);
        deadlines.clear(4);
        deadlines.clear(77);
        assert_eq!(deadlines.next_ns(), 10);
        assert_eq!(deadlines.take_passed(9), None);
        let passed: Vec<_> = std::iter::from_fn(|| deadlines.take_passed(50)).collect();
        assert_eq!(passed, [0, 2, 3]);
        assert_eq!(deadlines.next_ns(), 90);
        deadlines.clear(9);
        assert_eq!(deadlines.next_ns(), i64::MAX);
        deadlines.set(9, 5);
        assert_eq!(deadlines.take_passed(5), Some(9));
    }
}
