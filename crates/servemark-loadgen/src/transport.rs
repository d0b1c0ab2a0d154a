//! How bytes travel: a TCP socket, with or without TLS, or a Unix socket; non-blocking. The driver sees no difference.

mod read_outcome;
mod socket;
mod tls_stream;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getpeername,
    getsockname, send, socket_with, sockopt,
};

use crate::kernel;
use crate::plan::Address;
use crate::tls::TlsSetup;

pub(crate) use read_outcome::ReadOutcome;
use socket::receive;
pub(crate) use tls_stream::{TlsStream, closed};

/// A connection's way to its server.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Plain TCP; or a Unix socket, which is read and written alike.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
}

impl Transport {
    /// Open a socket and begin to connect it, from `source` if that is given. With `tls`, the handshake comes after; with
    /// `stamps`, what is read on it has the kernel's time of arrival.
    pub(crate) fn connect(
        address: &Address,
        source: Option<Ipv4Addr>,
        tls: Option<&TlsSetup>,
        stamps: bool,
    ) -> io::Result<Self> {
        let socket = match &address.unix {
            Some(path) => connect_unix(path)?,
            None => connect_tcp(address.socket(), source, stamps)?,
        };
        match tls {
            None => Ok(Self::Tcp(socket.into())),
            Some(setup) => TlsStream::new(socket.into(), setup).map(|stream| Self::Tls(stream.into())),
        }
    }

    /// Whether the TCP connection stands, once the socket is writable.
    ///
    /// Where nobody listens, the port chosen to connect from can be the very one that is connected to: such a socket is
    /// connected to itself, and keeps the server from coming back.
    pub(crate) fn finish_connect(&self) -> io::Result<()> {
        sockopt::socket_error(self)?.map_err(io::Error::from)?;
        if getpeername(self)? == Some(getsockname(self)?) {
            return Err(Errno::CONNREFUSED.into());
        }
        Ok(())
    }

    /// How long the server took to answer that it connects, by the kernel; none where it does not tell. Nothing was written
    /// yet.
    pub(crate) fn connect_ns(&self) -> Option<i64> {
        kernel::first_round_trip_ns(self.as_fd())
    }

    /// Take the handshake as far as it goes. Returns whether it is done; plain TCP has none.
    pub(crate) fn handshake(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(_) => Ok(true),
            Self::Tls(stream) => stream.handshake(),
        }
    }

    /// When the kernel received the last segment that the last step of the handshake read, by the wall clock; none where
    /// it read nothing, and where the kernel does not tell.
    pub(crate) fn handshake_stamp_unix_ns(&self) -> Option<i64> {
        match self {
            Self::Tcp(_) => None,
            Self::Tls(stream) => stream.stamp_unix_ns(),
        }
    }

    /// Read what is there, once.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
        match self {
            Self::Tcp(socket) => read_once(socket, buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    /// Write some of `bytes`. Returns how many were taken, 0 when the socket is full.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => match send(socket, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::AGAIN) => Ok(0),
                other => Ok(other?),
            },
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// Whether the server has said that it has sent everything, so that no failure to write makes that doubtful.
    pub(crate) fn has_heard_all(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(stream) => stream.tls().has_heard_all(),
        }
    }

    /// Push out what the transport itself still holds; it tries again on later calls.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Tls(stream) => stream.as_fd(),
        }
    }
}

const NEW_SOCKET: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

fn connect_tcp(address: SocketAddr, source: Option<Ipv4Addr>, stamps: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = socket_with(family, SocketType::STREAM, NEW_SOCKET, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if stamps {
        kernel::stamp_arrivals(socket.as_fd())?;
    }
    if let Some(source) = source {
        kernel::choose_port_when_connecting(socket.as_fd())?;
        bind(&socket, &SocketAddrV4::new(source, 0))?;
    }
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Such a socket is connected at once or not at all: where nobody takes new connections in time, the next is refused.
fn connect_unix(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, NEW_SOCKET, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) => Ok(socket),
        Err(Errno::AGAIN) => Err(io::Error::other("the server's queue of new connections is full")),
        Err(error) => Err(error.into()),
    }
}

fn read_once(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
    match receive(socket, buffer) {
        Ok((0, _)) => Ok(ReadOutcome::Eof),
        Ok((count, stamp_unix_ns)) => Ok(ReadOutcome::Bytes {
            count,
            drained: count < buffer.len(),
            stamp_unix_ns,
        }),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(ReadOutcome::Blocked),
        Err(error) => Err(error),
    }
}
