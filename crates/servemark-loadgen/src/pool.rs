//! The connections that some loads have to one address: which are free, how many there may be, and who waits for one.

use std::collections::VecDeque;

use crate::request::RequestId;

/// Counts and queues of one pool; connections are named by their keys in the driver.
///
/// A connection that has a slot is free, and there once, however many slots it has. Free connections are used in turn, the
/// one that rested longest first, so that each carries its share: who took a slot of one and left another puts it back at
/// the end.
#[derive(Debug)]
pub(crate) struct Pool {
    limit: usize,
    open: usize,
    opening: usize,
    /// Connections that died while idle and were not replaced yet.
    lost: usize,
    /// The most that were open when there was no descriptor for one more.
    full_at: Option<usize>,
    free: VecDeque<usize>,
    waiting: VecDeque<RequestId>,
}

impl Pool {
    /// A pool of at most `limit` connections.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            open: 0,
            opening: 0,
            lost: 0,
            full_at: None,
            free: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Take a free connection.
    pub(crate) fn take_free(&mut self) -> Option<usize> {
        self.free.pop_front()
    }

    /// Let a connection that has a slot rest here.
    pub(crate) fn rest(&mut self, connection: usize) {
        self.free.push_back(connection);
    }

    /// A connection that rests here is gone, or has no slot any more.
    pub(crate) fn withdraw(&mut self, connection: usize) {
        self.free.retain(|&free| free != connection);
    }

    /// Queue a request until a connection is free.
    pub(crate) fn wait(&mut self, request: RequestId) {
        self.waiting.push_back(request);
    }

    /// The request that has waited longest.
    pub(crate) fn take_waiting(&mut self) -> Option<RequestId> {
        self.waiting.pop_front()
    }

    /// Whether a request waits.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a connection should be opened: more requests wait than connections are being opened, and one more is allowed.
    pub(crate) fn needs_connection(&self) -> bool {
        self.waiting.len() > self.opening && self.open < self.limit
    }

    /// Whether those that wait get a connection of their own, and not only what others have done with.
    pub(crate) fn has_room(&self) -> bool {
        self.open - self.opening + self.waiting.len() <= self.limit
    }

    /// A connection is being opened. Returns whether it takes the place of one that died while idle.
    pub(crate) fn opening(&mut self) -> bool {
        self.open += 1;
        self.opening += 1;
        let replaces = self.lost > 0;
        self.lost -= usize::from(replaces);
        replaces
    }

    /// Note that there is no descriptor for one more. Returns whether there is a connection that can be waited for.
    pub(crate) fn note_full(&mut self) -> bool {
        if self.open > 0 {
            self.full_at = self.full_at.max(Some(self.open));
        }
        self.open > 0
    }

    /// Whether descriptors did not suffice for as many connections as are allowed.
    pub(crate) fn was_full(&self) -> bool {
        self.full_at.is_some()
    }

    /// How many connections there could be at most.
    pub(crate) fn most(&self) -> usize {
        self.full_at.unwrap_or(self.limit)
    }

    /// How many connections are being opened.
    pub(crate) fn opening_count(&self) -> usize {
        self.opening
    }

    /// A connection that was being opened is open, or failed to open (then `closed` follows).
    pub(crate) fn opened(&mut self) {
        self.opening -= 1;
    }

    /// Forget the requests that wait.
    pub(crate) fn clear_waiting(&mut self) {
        self.waiting.clear();
    }

    /// A connection is gone.
    pub(crate) fn closed(&mut self) {
        self.open -= 1;
    }

    /// A connection is gone that died without a request on it.
    pub(crate) fn lost(&mut self) {
        self.closed();
        self.lost += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_one_connection_for_each_waiting_request_up_to_its_limit() {
        let mut pool = Pool::new(2);
        assert!(!pool.needs_connection());
        pool.wait(RequestId(0));
        assert!(pool.has_room());
        assert!(pool.needs_connection());
        assert!(!pool.opening());
        assert!(!pool.needs_connection());
        pool.wait(RequestId(1));
        pool.wait(RequestId(2));
        assert!(pool.needs_connection());
        pool.opening();
        assert!(!pool.needs_connection());
        assert!(!pool.has_room());
        pool.opened();
        assert_eq!(pool.take_waiting(), Some(RequestId(0)));
    }

    #[test]
    fn connections_rest_in_turn() {
        let mut pool = Pool::new(2);
        pool.rest(7);
        pool.rest(8);
        assert_eq!(pool.take_free(), Some(7));
        pool.rest(7);
        assert_eq!(pool.take_free(), Some(8));
    }

    #[test]
    fn a_connection_that_has_no_slot_any_more_is_not_taken() {
        let mut pool = Pool::new(3);
        for connection in [7, 8, 9] {
            pool.rest(connection);
        }
        pool.withdraw(8);
        assert_eq!([pool.take_free(), pool.take_free()], [Some(7), Some(9)]);
        assert_eq!(pool.take_free(), None);
    }

    #[test]
    fn a_connection_that_died_idle_is_replaced_once() {
        let mut pool = Pool::new(1);
        pool.opening();
        pool.opened();
        pool.lost();
        assert!(pool.opening());
        pool.opened();
        pool.closed();
        assert!(!pool.opening());
    }
}
