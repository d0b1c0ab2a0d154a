//! What is asked of the kernel past rustix and std: the one module with unsafe code.
//!
//! `epoll_pwait2` (Linux 5.11) is called directly, since rustix calls it only when it is told never to fall back; nothing
//! safe sets a thread's scheduling policy, has a port chosen late, or reads the time at which the kernel received what it
//! hands over.
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

/// Have the kernel note when it receives what comes on `socket`, for [`receive_stamped`].
pub(crate) fn stamp_arrivals(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads one c_int, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    done(result.into())
}

/// What a call without a value came to.
fn done(result: libc::c_long) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// How long the peer took to answer the first segment of a TCP connection, as long as nothing else was sent on it; none
/// where that had to be sent again, or the kernel does not tell.
pub(crate) fn first_round_trip_ns(socket: BorrowedFd<'_>) -> Option<i64> {
    // SAFETY: all zeros are a description of a connection.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most as many bytes as the length says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    let is_known = result == 0 && info.tcpi_rtt > 0 && info.tcpi_total_retrans == 0;
    is_known.then(|| i64::from(info.tcpi_rtt) * 1000)
}

/// Bytes of the one control message that is asked for: its header and a `timespec`.
const CONTROL_BYTES: usize = 64;

/// Memory for control messages, aligned as their header must be.
#[repr(C, align(8))]
struct ControlMessages([u8; CONTROL_BYTES]);

/// Read what is there, once. Returns how many bytes, and when the kernel received the last segment of them by
/// `CLOCK_REALTIME`, if [`stamp_arrivals`] was asked of the socket and the kernel knows.
pub(crate) fn receive_stamped(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<i64>)> {
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut control = std::mem::MaybeUninit::<ControlMessages>::uninit();
    // SAFETY: all zeros are an empty message header.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES as _;
    // The system call and not libc's function, which is a point at which a thread can be cancelled, and costs for it.
    // SAFETY: the header names memory that outlives the call, with its lengths.
    let count = unsafe { libc::syscall(libc::SYS_recvmsg, socket.as_raw_fd(), &raw mut message, 0) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has just written the control messages, and how long they are.
    Ok((count, unsafe { stamp_in(&message) }))
}

/// # Safety
///
/// The kernel has filled `message` in, and its control messages are still where it says.
unsafe fn stamp_in(message: &libc::msghdr) -> Option<i64> {
    // SAFETY: what the caller promises; the macros stay within `msg_controllen`.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        let found = header.as_ref()?;
        if found.cmsg_level != libc::SOL_SOCKET || found.cmsg_type != libc::SCM_TIMESTAMPNS {
            return None;
        }
        let time = std::ptr::read_unaligned(libc::CMSG_DATA(header).cast::<libc::timespec>());
        Some(time.tv_sec * NS_PER_S + time.tv_nsec)
    }
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

/// So long may a thread of short slices run before others that wait have their turn; the least that can be asked for.
const SHORT_SLICE_NS: u64 = 100_000;

/// Ask that the calling thread, of normal policy, runs for short slices: when it wakes, it has its turn the sooner.
///
/// That takes no right (Linux 6.12, EEVDF); an older kernel takes no notice of it. Its share of the CPUs stays what it is.
pub(crate) fn ask_for_short_slices() -> io::Result<()> {
    // SAFETY: all zeros are attributes of normal policy.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<libc::sched_attr>() as u32;
    attributes.sched_policy = libc::SCHED_OTHER as u32;
    // Once asked for, that its children do not inherit it can only be taken back with a privilege.
    attributes.sched_flags = libc::SCHED_FLAG_RESET_ON_FORK as u64;
    attributes.sched_runtime = SHORT_SLICE_NS;
    // SAFETY: the call reads and writes no memory. Its error, -1, is taken for that niceness: no harm is in it.
    attributes.sched_nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // SAFETY: the kernel reads as many bytes as the size says, which outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    done(result)
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
    done(result)
}

/// Have the port of a socket that is bound to an address chosen when it connects, when it is known to where: then one that
/// is in use to elsewhere will do.
pub(crate) fn choose_port_when_connecting(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel only reads the value, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    done(result.into())
}
