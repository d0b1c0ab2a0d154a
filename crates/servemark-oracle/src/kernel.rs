//! What is asked of the kernel past rustix and std, when a socket received what it brings: the one module with unsafe
//! code. The load generator has its own: what judges it shares no stamp with it.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use servemark_loadgen::clock::NS_PER_S;

/// Room for the one control message that is asked for, aligned as its head is.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Have the kernel stamp what a socket receives (`SO_TIMESTAMPNS`); what a listener accepts inherits that.
pub(crate) fn stamp_receipts(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel only reads the value, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Read what a socket has, without waiting: how many bytes, and when the last segment that this call took from was
/// received, in nanoseconds of `CLOCK_REALTIME`, if the kernel stamped it.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<i64>)> {
    let mut bytes = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut control = Control([0; 64]);
    // SAFETY: a message of nothing: null pointers and lengths of zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: the message points to a buffer and to room for control messages, with their lengths; both outlive the call.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    Ok((count, stamp_of(&message)))
}

fn stamp_of(message: &libc::msghdr) -> Option<i64> {
    // SAFETY: the kernel has just written the control messages, and their length into `message`; the macros stay within.
    let mut head = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !head.is_null() {
        // SAFETY: not null, so it lies within the control messages, aligned.
        let (level, kind) = unsafe { ((*head).cmsg_level, (*head).cmsg_type) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS {
            // SAFETY: the data of this kind is a timespec, which need not be aligned.
            let time = unsafe { libc::CMSG_DATA(head).cast::<libc::timespec>().read_unaligned() };
            return Some(time.tv_sec * NS_PER_S + time.tv_nsec);
        }
        // SAFETY: as the first one.
        head = unsafe { libc::CMSG_NXTHDR(message, head) };
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};
    use servemark_loadgen::clock::unix_ns;

    use super::*;

    /// What came, once there is something.
    fn receive_soon(socket: &TcpStream, buffer: &mut [u8]) -> (usize, Option<i64>) {
        poll(&mut [PollFd::new(socket, PollFlags::IN)], None).unwrap();
        receive(socket.as_fd(), buffer).unwrap()
    }

    #[test]
    fn an_accepted_socket_has_the_stamps_of_its_listener() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        stamp_receipts(listener.as_fd()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let mut buffer = [0; 16];
        // The kernel begins to stamp a moment after it was first asked to.
        for _ in 0..500 {
            let before_ns = unix_ns();
            client.write_all(b"abc").unwrap();
            let after_ns = unix_ns();
            std::thread::sleep(Duration::from_millis(2));
            let (count, stamp) = receive_soon(&accepted, &mut buffer);
            assert_eq!(&buffer[..count], b"abc");
            if let Some(stamp) = stamp {
                assert!(before_ns <= stamp, "{stamp} is before it was sent");
                assert!(
                    stamp - after_ns < 1_000_000_000,
                    "{stamp} is long after it was sent"
                );
                return;
            }
        }
        panic!("no stamp, a second after they were asked for");
    }

    #[test]
    fn nothing_to_read_is_told_from_the_end() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let mut buffer = [0; 16];
        let nothing = receive(accepted.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        drop(client);
        assert_eq!(receive_soon(&accepted, &mut buffer), (0, None));
    }
}
