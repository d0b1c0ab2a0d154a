//! When bytes arrived: the time at which the kernel took the packet in, whatever the receiver was doing then.
//!
//! The one module with unsafe code: `SO_TIMESTAMPNS` and the control message that it brings.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

const NS_PER_S: i64 = 1_000_000_000;

/// What one read brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Bytes; 0 at the end.
    pub(crate) count: usize,
    /// Wall-clock time of the last packet of these bytes, ns since 1970; 0 where the kernel does not tell.
    pub(crate) kernel_ns: i64,
}

/// Have the kernel note when packets arrive at `socket`.
pub(crate) fn stamp(socket: &TcpStream) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int that outlives the call, and its size is given.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Read what is there, with the time of its arrival; `WouldBlock` when nothing is.
pub(crate) fn read(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<Arrival> {
    // Room for one header and a timespec, aligned as a control message must be.
    let mut control = [0_u64; 8];
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the message points at one vector over `buffer` and at `control`, both alive, with their sizes.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let mut kernel_ns = 0;
    // SAFETY: the kernel filled `control` as far as `msg_controllen` says; these macros walk within that.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_TIMESTAMPNS {
                let time: libc::timespec = libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned();
                kernel_ns = time.tv_sec * NS_PER_S + time.tv_nsec;
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(Arrival { count, kernel_ns })
}
