//! Where connections come from: one address has only so many ports.
//!
//! A port that has closed a connection rests for 60 s, so that one source address can open 28,232 of Linux' own ports, or
//! 470 a second, to one place. On the loopback interface all of 127.0.0.0/8 is this machine's, and each address of it has
//! ports of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use crate::error::Lack;
use crate::plan::Address;

/// So many source addresses have ports for 30,000 connections a second, more than a machine opens.
const LOOPBACK_SOURCES: u32 = 64;

/// How many source addresses connections to `target` may have.
pub(crate) fn sources_to(target: IpAddr) -> u32 {
    match target {
        IpAddr::V4(ip) if ip.is_loopback() => LOOPBACK_SOURCES,
        _ => 1,
    }
}

/// The source of the connections to one address: the system's choice, until that has no port left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// How many there are.
    sources: u32,
    /// 0 is the system's choice.
    number: u32,
}

impl Source {
    /// The source of connections to `address`; a Unix socket has none.
    pub(crate) fn to(address: &Address) -> Self {
        let sources = if address.unix.is_some() {
            1
        } else {
            sources_to(address.ip)
        };
        Self { sources, number: 0 }
    }

    /// The address to connect from; `None` leaves it to the system.
    fn address(self) -> Option<Ipv4Addr> {
        (self.number > 0).then(|| Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + self.number))
    }

    /// Do it from this source, or from the next ones where it lacks a port: from each at most once.
    pub(crate) fn open<T>(&mut self, open: impl Fn(Option<Ipv4Addr>) -> io::Result<T>) -> io::Result<T> {
        let mut opened = open(self.address());
        for _ in 1..self.sources {
            match &opened {
                Err(error) if Lack::of(error) == Some(Lack::Ports) => {}
                _ => break,
            }
            self.number = (self.number + 1) % self.sources;
            opened = open(self.address());
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn address(ip: IpAddr) -> Address {
        Address {
            ip,
            zone: 0,
            port: 80,
            unix: None,
            tls: None,
        }
    }

    fn lacking() -> io::Error {
        io::Error::from_raw_os_error(libc::EADDRNOTAVAIL)
    }

    #[test]
    fn the_next_source_is_used_from_when_one_has_no_port_left() {
        let mut source = Source::to(&address([127, 0, 0, 9].into()));
        assert_eq!(source.open(Ok).unwrap(), None);
        let second = Ipv4Addr::new(127, 0, 0, 2);
        let third = |address: Option<Ipv4Addr>| match address {
            Some(address) if address > second => Ok(address),
            _ => Err(lacking()),
        };
        assert_eq!(source.open(third).unwrap(), Ipv4Addr::new(127, 0, 0, 3));
        assert_eq!(source.open(Ok).unwrap(), Some(Ipv4Addr::new(127, 0, 0, 3)));
    }

    #[test]
    fn a_unix_socket_has_one_source() {
        let unix = Address {
            unix: Some("/x".into()),
            ..address([127, 0, 0, 1].into())
        };
        let mut source = Source::to(&unix);
        assert!(source.open(|_| -> io::Result<()> { Err(lacking()) }).is_err());
        assert_eq!(source.address(), None);
    }

    #[test]
    fn each_source_is_tried_once() {
        let tried = RefCell::new(Vec::new());
        let mut source = Source::to(&address([127, 0, 0, 1].into()));
        let refused = source.open(|address| -> io::Result<()> {
            tried.borrow_mut().push(address);
            Err(lacking())
        });
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EADDRNOTAVAIL));
        let tried = tried.into_inner();
        assert_eq!(tried.len(), LOOPBACK_SOURCES as usize);
        assert_eq!(tried[63], Some(Ipv4Addr::new(127, 0, 0, 64)));
    }

    #[test]
    fn other_failures_and_other_networks_have_one_source() {
        for (target, error) in [
            (IpAddr::from([127, 0, 0, 1]), libc::ECONNREFUSED),
            (IpAddr::from([10, 0, 0, 1]), libc::EADDRNOTAVAIL),
            (IpAddr::from(std::net::Ipv6Addr::LOCALHOST), libc::EADDRNOTAVAIL),
        ] {
            let mut source = Source::to(&address(target));
            let refused = source.open(|_| -> io::Result<()> { Err(io::Error::from_raw_os_error(error)) });
            assert_eq!(refused.unwrap_err().raw_os_error(), Some(error));
            assert_eq!(source.address(), None);
        }
    }
}
