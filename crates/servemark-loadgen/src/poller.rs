//! Readiness: epoll, edge-triggered, with timeouts in nanoseconds.
//!
//! Where the kernel or a sandbox refuses `epoll_pwait2`, `ppoll` on the epoll descriptor waits instead, and a second call
//! fetches the events.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use crate::clock::NS_PER_S;
use crate::kernel;

const MAX_EVENTS: usize = 256;

/// A descriptor's readiness.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// What the descriptor was registered with.
    pub token: u64,
    /// Something can be read, perhaps the end or an error.
    pub readable: bool,
    /// Something can be written, or an error be had.
    pub writable: bool,
    /// The peer will send no more, or the connection broke: read until the end.
    pub hang_up: bool,
}

/// An epoll instance.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    has_pwait2: bool,
}

/// Events of one wait.
pub struct Events(Vec<libc::epoll_event>);

impl Events {
    /// Room for the events of one wait.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::with_capacity(MAX_EVENTS))
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the wait ended without an event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The event at `index`.
    #[must_use]
    pub fn at(&self, index: usize) -> Ready {
        let event = self.0[index];
        let has = |bits: i32| event.events & bits as u32 != 0;
        let hang_up = has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR);
        Ready {
            token: event.u64,
            readable: has(libc::EPOLLIN) || hang_up,
            writable: has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR),
            hang_up,
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Poller {
    /// A new epoll instance.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut poller = Self {
            epoll,
            has_pwait2: true,
        };
        match poller.pwait2(&mut Events::new(), 0) {
            Ok(()) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                poller.has_pwait2 = false;
            }
            Err(error) => return Err(error),
        }
        Ok(poller)
    }

    /// One that refuses to watch anything.
    #[cfg(test)]
    pub(crate) fn refusing() -> Self {
        let null = std::fs::File::open("/dev/null").expect("there is nothing");
        Self {
            epoll: null.into(),
            has_pwait2: false,
        }
    }

    /// Watch a descriptor for edges of both directions, until it is closed.
    pub fn watch(&self, descriptor: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(token), flags)?;
        Ok(())
    }

    /// Watch a descriptor for reading only: a waker, which could always be written.
    pub fn watch_waker(&self, descriptor: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(token), flags)?;
        Ok(())
    }

    /// Wait for events, at most `timeout_ns`; a signal ends the wait without events.
    pub fn wait(&self, events: &mut Events, timeout_ns: i64) -> io::Result<()> {
        let timeout_ns = timeout_ns.max(0);
        let waited = if self.has_pwait2 {
            self.pwait2(events, timeout_ns)
        } else {
            self.poll_and_wait(events, timeout_ns)
        };
        match waited {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.0.clear();
                Ok(())
            }
            other => other,
        }
    }

    fn pwait2(&self, events: &mut Events, timeout_ns: i64) -> io::Result<()> {
        kernel::epoll_pwait2(self.epoll.as_fd(), &mut events.0, timeout_ns)
    }

    fn poll_and_wait(&self, events: &mut Events, timeout_ns: i64) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: timeout_ns / NS_PER_S,
            tv_nsec: timeout_ns % NS_PER_S,
        };
        let epoll = self.epoll.as_fd();
        poll(
            &mut [PollFd::from_borrowed_fd(epoll, PollFlags::IN)],
            Some(&timeout),
        )?;
        kernel::epoll_events(epoll, &mut events.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic_ns;
    use rustix::event::{EventfdFlags, eventfd};

    fn pollers() -> [Poller; 2] {
        let mut fallback = Poller::new().unwrap();
        fallback.has_pwait2 = false;
        [Poller::new().unwrap(), fallback]
    }

    #[test]
    fn a_wait_lasts_its_nanoseconds() {
        for poller in pollers() {
            let before_ns = monotonic_ns();
            let mut events = Events::new();
            poller.wait(&mut events, 300_000).unwrap();
            assert!(events.is_empty());
            assert!(monotonic_ns() - before_ns >= 300_000);
        }
    }

    #[test]
    fn each_wake_is_one_edge() {
        for poller in pollers() {
            let waker = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
            poller.watch_waker(waker.as_fd(), 77).unwrap();
            let mut events = Events::new();
            for _ in 0..2 {
                rustix::io::write(&waker, &1_u64.to_ne_bytes()).unwrap();
                poller.wait(&mut events, NS_PER_S).unwrap();
                assert_eq!(events.len(), 1);
                assert_eq!(events.at(0).token, 77);
                assert!(events.at(0).readable && !events.at(0).hang_up);
                poller.wait(&mut events, 0).unwrap();
                assert!(events.is_empty());
            }
        }
    }
}
