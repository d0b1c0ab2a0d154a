//! The floor: what any load generator must at least do, and nothing else.
//!
//! `floor ADDRESS PATH CONNECTIONS SECONDS` keeps one request under way on each connection with the system calls that
//! no generator can do without: one wait for many events, and a read and a write a request. The first response tells how
//! long a response is; after that bytes are counted. Nothing is parsed, timed or recorded.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

/// Bytes of a request's body.
const BODY_BYTES: usize = 100;
/// Bytes that one read takes, as in the engine.
const READ_BYTES: usize = 64 * 1024;
const MAX_EVENTS: usize = 256;
const USAGE: &str = "usage: floor ADDRESS PATH CONNECTIONS SECONDS";

struct Connection {
    socket: TcpStream,
    /// Bytes of the response that have not come yet.
    missing: usize,
}

struct Wanted {
    address: SocketAddr,
    path: String,
    connections: usize,
    length: Duration,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(wanted) = parse(&words) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    match run(&wanted) {
        Ok(responses) => println!("{responses}"),
        Err(error) => {
            eprintln!("floor: {error}");
            std::process::exit(4);
        }
    }
}

fn parse(words: &[String]) -> Option<Wanted> {
    let [address, path, connections, seconds] = words else {
        return None;
    };
    Some(Wanted {
        address: address.parse().ok()?,
        path: path.clone(),
        connections: connections.parse().ok()?,
        length: Duration::from_secs(seconds.parse().ok()?),
    })
}

/// Send until the time is over; returns how many responses came.
fn run(wanted: &Wanted) -> io::Result<u64> {
    let request = request(wanted);
    let mut connections = Vec::new();
    for _ in 0..wanted.connections {
        let socket = TcpStream::connect(wanted.address)?;
        socket.set_nodelay(true)?;
        connections.push(Connection { socket, missing: 0 });
    }
    let length = match connections.first_mut() {
        Some(first) => response_length(&mut first.socket, &request)?,
        None => return Ok(0),
    };
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.socket.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(number as u64);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&poller, &connection.socket, data, flags)?;
        connection.ask(&request, length)?;
    }
    let mut buffer = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(MAX_EVENTS);
    let mut responses = 0;
    let patience = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let end = Instant::now() + wanted.length;
    loop {
        events.clear();
        epoll::wait(
            &poller,
            rustix::buffer::spare_capacity(&mut events),
            Some(&patience),
        )?;
        for event in &events {
            let connection = &mut connections[event.data.u64() as usize];
            if connection.take(&mut buffer)? {
                responses += 1;
                connection.ask(&request, length)?;
            }
        }
        // The clock is read once for many events, as in the engine.
        if Instant::now() >= end {
            return Ok(responses);
        }
    }
}

fn request(wanted: &Wanted) -> Vec<u8> {
    let Wanted { path, address, .. } = wanted;
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: servemark\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    )
    .into_bytes();
    request.extend([b'x'; BODY_BYTES]);
    request
}

impl Connection {
    fn ask(&mut self, request: &[u8], response_length: usize) -> io::Result<()> {
        self.missing = response_length;
        if self.socket.write(request)? == request.len() {
            return Ok(());
        }
        Err(io::Error::other("the socket did not take a whole request"))
    }

    /// Read once; returns whether the response is complete.
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let count = self.socket.read(buffer)?;
        if count == 0 || count > self.missing {
            return Err(io::Error::other(
                "the server closed, or its responses differ in length",
            ));
        }
        self.missing -= count;
        Ok(self.missing == 0)
    }
}

/// Send one request, and read until its response has been silent for a while: that is its length.
fn response_length(socket: &mut TcpStream, request: &[u8]) -> io::Result<usize> {
    socket.write_all(request)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut length = socket.read(&mut buffer)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Err(io::Error::other("the server closed after one response")),
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(length),
            Err(error) => return Err(error),
        }
    }
}
