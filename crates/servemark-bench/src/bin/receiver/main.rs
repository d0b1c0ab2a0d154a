//! The receiver: a server that answers at once, and notes when requests arrived.
//!
//! `receiver FILE` listens on a free port of 127.0.0.1 and prints it, and a second line with the first request. When
//! its standard input ends it writes FILE and exits. FILE holds two little-endian i64 a request, ns since 1970: when the
//! kernel took in its first bytes (0 where it does not tell), and when this program saw them. The first owes nothing to
//! when this program was woken.

mod arrival;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::time::{ClockId, clock_gettime};

use arrival::Arrival;

const NS_PER_S: i64 = 1_000_000_000;
const READ_BYTES: usize = 64 * 1024;
const MAX_EVENTS: usize = 256;
const MAX_HEADERS: usize = 64;
const LISTENER: u64 = u64::MAX;
const INPUT: u64 = u64::MAX - 1;
const USAGE: &str = "usage: receiver FILE";
/// 50 bytes of JSON.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n\
    {\"class\": \"tabby cat\", \"probability\": 0.283746192}";

/// When one request arrived, in ns since 1970.
#[derive(Clone, Copy, Debug)]
struct Note {
    kernel_ns: i64,
    seen_ns: i64,
}

struct Connection {
    socket: TcpStream,
    /// Bytes of a request that is not complete.
    received: Vec<u8>,
    /// The arrival of the first of them.
    first: Option<Arrival>,
    /// When this program saw them.
    seen_ns: i64,
}

struct Receiver {
    poller: OwnedFd,
    listener: TcpListener,
    connections: HashMap<u64, Connection>,
    next_connection: u64,
    notes: Vec<Note>,
    buffer: Vec<u8>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [path] = &words[..] else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    if let Err(error) = run(path) {
        eprintln!("receiver: {error}");
        std::process::exit(4);
    }
}

fn run(path: &str) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut receiver = Receiver::new()?;
    println!("{}", receiver.listener.local_addr()?.port());
    io::stdout().flush()?;
    receiver.serve()?;
    for note in &receiver.notes {
        file.write_all(&note.kernel_ns.to_le_bytes())?;
        file.write_all(&note.seen_ns.to_le_bytes())?;
    }
    file.flush()
}

impl Receiver {
    fn new() -> io::Result<Self> {
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let watch = |descriptor: rustix::fd::BorrowedFd<'_>, token| {
            epoll::add(
                &poller,
                descriptor,
                epoll::EventData::new_u64(token),
                epoll::EventFlags::IN,
            )
        };
        watch(rustix::fd::AsFd::as_fd(&listener), LISTENER)?;
        watch(rustix::fd::AsFd::as_fd(&io::stdin()), INPUT)?;
        Ok(Self {
            poller,
            listener,
            connections: HashMap::new(),
            next_connection: 0,
            notes: Vec::with_capacity(1 << 20),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Answer until the standard input ends.
    fn serve(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(MAX_EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.poller, rustix::buffer::spare_capacity(&mut events), None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            for event in &events {
                match event.data.u64() {
                    INPUT => return Ok(()),
                    LISTENER => self.accept()?,
                    connection => self.take(connection)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            arrival::stamp(&socket)?;
            let number = self.next_connection;
            self.next_connection += 1;
            let data = epoll::EventData::new_u64(number);
            epoll::add(&self.poller, &socket, data, epoll::EventFlags::IN)?;
            let connection = Connection {
                socket,
                received: Vec::new(),
                first: None,
                seen_ns: 0,
            };
            self.connections.insert(number, connection);
        }
    }

    /// Read once from a connection; note and answer the request when it is complete.
    fn take(&mut self, number: u64) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(&number) else {
            return Ok(());
        };
        let arrival = match arrival::read(&connection.socket, &mut self.buffer) {
            Ok(arrival) if arrival.count > 0 => arrival,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            _ => {
                self.connections.remove(&number);
                return Ok(());
            }
        };
        if connection.first.is_none() {
            connection.first = Some(arrival);
            connection.seen_ns = now_ns();
        }
        connection
            .received
            .extend_from_slice(&self.buffer[..arrival.count]);
        if !is_complete(&connection.received)? {
            return Ok(());
        }
        connection.received.clear();
        if self.notes.is_empty() {
            println!("begun");
        }
        let kernel_ns = connection.first.take().map_or(0, |first| first.kernel_ns);
        self.notes.push(Note {
            kernel_ns,
            seen_ns: connection.seen_ns,
        });
        // A tool that has closed by now is no fault of ours.
        if connection.socket.write(RESPONSE).is_err() {
            self.connections.remove(&number);
        }
        Ok(())
    }
}

fn now_ns() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec * NS_PER_S + time.tv_nsec
}

/// Whether `bytes` hold a request with all of its body, whose length must be in its head.
fn is_complete(bytes: &[u8]) -> io::Result<bool> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes).map_err(io::Error::other)?;
    let httparse::Status::Complete(head_bytes) = parsed else {
        return Ok(false);
    };
    let mut body_bytes = 0;
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(io::Error::other(
                "a request in chunks: none of the tools sends one",
            ));
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(io::Error::other)?;
            body_bytes = text.trim().parse().map_err(io::Error::other)?;
        }
    }
    Ok(bytes.len() >= head_bytes + body_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_complete_with_its_last_byte() {
        let request = b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\n\r\nabc";
        for end in 0..request.len() {
            assert!(!is_complete(&request[..end]).unwrap());
        }
        assert!(is_complete(request).unwrap());
        assert!(is_complete(b"GET / HTTP/1.1\r\n\r\n").unwrap());
        assert!(is_complete(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(is_complete(b"GET \0").is_err());
    }

    #[test]
    fn the_response_is_fifty_bytes_of_json() {
        let head_end = RESPONSE.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
        assert_eq!(RESPONSE.len() - head_end - 4, 50);
    }
}
