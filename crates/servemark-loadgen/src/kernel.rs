//! What is asked of the kernel past rustix and std: the one module with unsafe code.
//!
//! `epoll_pwait2` (Linux 5.11) is called directly, since rustix calls it only when it is told never to fall back; and
//! nothing safe sets a thread's scheduling policy.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::thread::Pid;

use crate::clock::NS_PER_S;

/// Wait for events of an epoll instance, at most `timeout_ns`; they replace those in `events`, as many as fit.
pub(crate) fn epoll_pwait2(
    epoll: BorrowedFd<'_>,
    events: &mut Vec<libc::epoll_event>,
    timeout_ns: i64,
) -> io::Result<()> {
    let timeout = libc::timespec {
        tv_sec: timeout_ns / NS_PER_S,
        tv_nsec: timeout_ns % NS_PER_S,
    };
    events.clear();
    // SAFETY: the kernel writes at most as many events as the vector has capacity for; the timeout outlives the call; no
    // signal mask is given.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            events.capacity() as libc::c_int,
            &raw const timeout,
            std::ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    // SAFETY: the kernel has just written them.
    unsafe { take_count(events, count) }
}

/// The events that an epoll instance has now, without waiting; they replace those in `events`, as many as fit.
pub(crate) fn epoll_events(epoll: BorrowedFd<'_>, events: &mut Vec<libc::epoll_event>) -> io::Result<()> {
    events.clear();
    // SAFETY: as in `epoll_pwait2`.
    let count = unsafe {
        libc::epoll_wait(
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            events.capacity() as libc::c_int,
            0,
        )
    };
    // SAFETY: the kernel has just written them.
    unsafe { take_count(events, count.into()) }
}

/// # Safety
///
/// `count` is negative, or the kernel has written so many events to the vector's memory, within its capacity.
unsafe fn take_count(events: &mut Vec<libc::epoll_event>, count: libc::c_long) -> io::Result<()> {
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: what the caller promises.
    unsafe { events.set_len(count) };
    Ok(())
}

/// How a thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// As others are.
    Normal,
    /// Before all that is not real time, at the lowest priority that is.
    RealTime,
    /// When nothing else runs.
    Idle,
}

/// Set the policy of `thread`, or of the calling one.
///
/// Threads and processes that it starts do not inherit it (`SCHED_RESET_ON_FORK`). That flag stays when the policy is
/// normal again, because taking it away needs a privilege.
pub(crate) fn set_policy(thread: Option<Pid>, policy: Policy) -> io::Result<()> {
    let (number, priority) = match policy {
        Policy::Normal => (libc::SCHED_OTHER, 0),
        Policy::RealTime => (libc::SCHED_RR, 1),
        Policy::Idle => (libc::SCHED_IDLE, 0),
    };
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // The system call and not libc's function, which with musl always refuses.
    // SAFETY: the kernel only reads the parameters, which outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            Pid::as_raw(thread),
            number | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
