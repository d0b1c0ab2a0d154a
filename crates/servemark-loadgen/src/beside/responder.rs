//! A responder on the loopback interface: answers each request with the same bytes, as soon as it can.
//!
//! What the engine measures against it is what the engine itself, and this machine's loopback, add to a response. It
//! takes HTTP/1.1 requests without a body, on connections that stay open.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};
use slab::Slab;

use crate::clock::NS_PER_S;
use crate::poller::{Events, Poller};

/// What every request is answered with.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const HEAD_END: &[u8] = b"\r\n\r\n";
const MAX_WAIT_NS: i64 = 3600 * NS_PER_S;
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

/// A responder at work, on a thread of its own. Dropping it stops it.
#[derive(Debug)]
pub struct Responder {
    port: u16,
    stop: OwnedFd,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Responder {
    /// Listen on a free port of 127.0.0.1 and answer.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let poller = Poller::new()?;
        poller.watch_waker(listener.as_fd(), LISTENER)?;
        poller.watch_waker(stop.as_fd(), STOP)?;
        let thread = std::thread::Builder::new()
            .name("responder".into())
            .spawn(move || answer(&listener, &poller))?;
        Ok(Self {
            port,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Close its sockets and end its thread. Returns why it ended before, if it did.
    pub fn stop(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        rustix::io::write(&self.stop, &1_u64.to_ne_bytes())?;
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the responder panicked")))
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// One client.
struct Client {
    stream: TcpStream,
    /// How many bytes of the end of a request's head were seen.
    seen: usize,
}

fn answer(listener: &TcpListener, poller: &Poller) -> io::Result<()> {
    let mut clients: Slab<Client> = Slab::new();
    let mut events = Events::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        poller.wait(&mut events, MAX_WAIT_NS)?;
        for index in 0..events.len() {
            match events.at(index).token {
                STOP => return Ok(()),
                LISTENER => accept(listener, poller, &mut clients)?,
                token => {
                    let key = token as usize;
                    let has_left = clients
                        .get_mut(key)
                        .is_some_and(|client| client.serve(&mut buffer).is_err());
                    if has_left {
                        clients.remove(key);
                    }
                }
            }
        }
    }
}

fn accept(listener: &TcpListener, poller: &Poller, clients: &mut Slab<Client>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let entry = clients.vacant_entry();
                poller.watch_waker(stream.as_fd(), entry.key() as u64)?;
                entry.insert(Client { stream, seen: 0 });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // A client that gave up before it was accepted is no reason to leave the others.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Client {
    /// Answer every request of which the last byte is there. An error means that the client has left.
    fn serve(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    for _ in 0..self.requests_in(&buffer[..count]) {
                        // One that reads nothing of so little does not follow the protocol: it is left.
                        self.stream.write_all(RESPONSE)?;
                    }
                    if count < buffer.len() {
                        return Ok(()); // drained: what comes now is another edge
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// How many heads of requests end in `bytes`.
    fn requests_in(&mut self, bytes: &[u8]) -> usize {
        let mut ended = 0;
        for &byte in bytes {
            self.seen = match byte {
                _ if byte == HEAD_END[self.seen] => self.seen + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.seen == HEAD_END.len() {
                self.seen = 0;
                ended += 1;
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_every_request_however_its_bytes_come() {
        let mut responder = Responder::start().unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, responder.port())).unwrap();
        client.set_nodelay(true).unwrap();
        let mut other = TcpStream::connect((Ipv4Addr::LOCALHOST, responder.port())).unwrap();
        let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nA: \r\r\n\r\n";
        for byte in requests {
            client.write_all(&[*byte]).unwrap();
        }
        other.write_all(requests).unwrap();
        for stream in [&mut client, &mut other] {
            let mut answered = vec![0; 2 * RESPONSE.len()];
            stream.read_exact(&mut answered).unwrap();
            assert_eq!(answered, [RESPONSE, RESPONSE].concat());
        }
        responder.stop().unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        responder.stop().unwrap();
    }
}
