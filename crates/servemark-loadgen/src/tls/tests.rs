//! The state machine against a server in memory: no socket, so that every cut is tried.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use ::ring::rand::SystemRandom;
use ::ring::signature::Ed25519KeyPair;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::*;
use crate::plan::Tls;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\nno";
const ALERT: u8 = 21;

fn client() -> TlsConnection {
    let tls = Tls {
        server_name: "localhost".into(),
        verify: false,
        ca_pem: Vec::new(),
        client_cert_pem: Vec::new(),
        client_key_pem: Vec::new(),
    };
    TlsConnection::new(&TlsSetup::new(&tls).unwrap()).unwrap()
}

/// A server whose certificate is none: a client that does not check it does not read it.
fn server(version: &'static SupportedProtocolVersion) -> ServerConnection {
    let provider = Arc::new(ring::default_provider());
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.as_ref().to_vec());
    let key = provider.key_provider.load_private_key(key.into()).unwrap();
    let certified = CertifiedKey::new(vec![CertificateDer::from(b"nobody reads it".to_vec())], key);
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// What the server has to send.
fn sent_by(server: &mut ServerConnection) -> Vec<u8> {
    let mut sent = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut sent).unwrap();
    }
    sent
}

/// What the client has to send.
fn given_by(client: &mut TlsConnection) -> Vec<u8> {
    let mut given = Vec::new();
    while client.has_ciphertext() {
        client.give_ciphertext(&mut given).unwrap();
    }
    given
}

/// Have the server take `bytes`, and return what it was told by them.
fn tell(server: &mut ServerConnection, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let mut told = Vec::new();
    while !bytes.is_empty() {
        server.read_tls(&mut bytes).unwrap();
        server.process_new_packets()?;
        let _ = server.reader().read_to_end(&mut told);
    }
    Ok(told)
}

/// Have the client take `bytes`, in as many reads as it takes.
fn receive(client: &mut TlsConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        assert!(client.receive_ciphertext(&mut bytes).unwrap() > 0);
    }
}

/// All that the client has to hand on, and what comes instead of more.
fn read(client: &mut TlsConnection) -> (Vec<u8>, io::Result<Plaintext>) {
    let (mut text, mut buffer) = (Vec::new(), [0; 16]);
    loop {
        match client.read_plaintext(&mut buffer) {
            Ok(Plaintext::Bytes(count)) => text.extend_from_slice(&buffer[..count]),
            other => return (text, other),
        }
    }
}

/// Client and server with the handshake behind them.
fn connected(version: &'static SupportedProtocolVersion) -> (TlsConnection, ServerConnection) {
    let (mut client, mut server) = (client(), server(version));
    while client.is_handshaking() || server.is_handshaking() {
        tell(&mut server, &given_by(&mut client)).unwrap();
        receive(&mut client, &sent_by(&mut server));
    }
    (client, server)
}

/// Shake hands, ask, be answered, and hear the farewell, while all that the server sends is cut before each byte whose
/// number `is_cut`.
fn exchange(version: &'static SupportedProtocolVersion, is_cut: impl Fn(usize) -> bool) {
    let (mut client, mut server) = (client(), server(version));
    let (mut passed, mut has_asked, mut heard) = (0, false, Vec::new());
    loop {
        if !client.is_handshaking() && !client.has_ciphertext() && !has_asked {
            assert_eq!(client.write_plaintext(REQUEST).unwrap(), REQUEST.len());
            has_asked = true;
        }
        if tell(&mut server, &given_by(&mut client)).unwrap() == REQUEST {
            server.writer().write_all(ANSWER).unwrap();
            server.send_close_notify();
        }
        let mut piece = Vec::new();
        for byte in sent_by(&mut server) {
            if is_cut(passed) {
                receive(&mut client, &std::mem::take(&mut piece));
                heard.extend(read(&mut client).0);
            }
            piece.push(byte);
            passed += 1;
        }
        receive(&mut client, &piece);
        let (text, end) = read(&mut client);
        heard.extend(text);
        match end.unwrap() {
            Plaintext::End => break,
            other => assert_eq!(other, Plaintext::Nothing),
        }
    }
    assert_eq!(heard, ANSWER);
    assert!(client.has_heard_all() && !client.has_failed());
}

/// So far apart are the cuts of one exchange; beginning anywhere, they are everywhere.
const CUT_EVERY: usize = 101;

#[test]
fn an_answer_is_the_same_however_the_network_cut_it() {
    for version in [&TLS12, &TLS13] {
        exchange(version, |_| true);
        exchange(version, |at| at % 7 == 0);
        for first in 0..CUT_EVERY {
            exchange(version, |at| at % CUT_EVERY == first);
        }
    }
}

/// A reader and a writer that count how often they are called.
#[derive(Default)]
struct Counted {
    bytes: Vec<u8>,
    calls: usize,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        let count = (&self.bytes[..]).read(buffer)?;
        self.bytes.drain(..count);
        Ok(count)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        self.bytes.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        self.bytes.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_request_takes_one_write_and_one_read() {
    let (mut client, mut server) = connected(&TLS13);
    for _ in 0..3 {
        client.write_plaintext(REQUEST).unwrap();
        let mut to = Counted::default();
        client.give_ciphertext(&mut to).unwrap();
        assert!(!client.has_ciphertext());
        assert_eq!(to.calls, 1);
        assert_eq!(tell(&mut server, &to.bytes).unwrap(), REQUEST);
        server.writer().write_all(ANSWER).unwrap();
        let mut from = Counted {
            bytes: sent_by(&mut server),
            calls: 0,
        };
        client.receive_ciphertext(&mut from).unwrap();
        assert_eq!(from.calls, 1);
        assert_eq!(read(&mut client).0, ANSWER);
    }
}

#[test]
fn what_the_server_said_is_handed_on_before_what_went_wrong() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut server) = connected(version);
        server.writer().write_all(ANSWER).unwrap();
        // What it cannot decrypt it answers with an alert, here in the same packet as its answer.
        tell(&mut server, &[23, 3, 3, 0, 5, 1, 2, 3, 4, 5]).unwrap_err();
        receive(&mut client, &sent_by(&mut server));
        assert!(client.has_failed() && !client.has_heard_all());
        let (text, end) = read(&mut client);
        assert_eq!(text, ANSWER);
        let errors = [
            end.unwrap_err(),
            client.receive_ciphertext(&mut &b"more"[..]).unwrap_err(),
            client.write_plaintext(REQUEST).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            let told = error.to_string();
            assert!(told.starts_with("the server ended it with the alert "), "{told}");
        }
    }
}

#[test]
fn an_end_without_a_farewell_is_a_cut() {
    for version in [&TLS12, &TLS13] {
        for says_farewell in [true, false] {
            let (mut client, mut server) = connected(version);
            server.writer().write_all(ANSWER).unwrap();
            if says_farewell {
                server.send_close_notify();
            }
            receive(&mut client, &sent_by(&mut server));
            assert_eq!(client.receive_ciphertext(&mut io::empty()).unwrap(), 0);
            let (text, end) = read(&mut client);
            assert_eq!(text, ANSWER);
            let expected = if says_farewell {
                Plaintext::End
            } else {
                Plaintext::Cut
            };
            assert_eq!(end.unwrap(), expected);
            assert_eq!(client.has_heard_all(), says_farewell);
            assert!(!client.has_failed());
        }
    }
}

#[test]
fn an_end_within_the_handshake_leaves_it_undone() {
    let (mut client, mut server) = (client(), server(&TLS13));
    tell(&mut server, &given_by(&mut client)).unwrap();
    let sent = sent_by(&mut server);
    receive(&mut client, &sent[..sent.len() / 2]);
    assert_eq!(client.receive_ciphertext(&mut io::empty()).unwrap(), 0);
    assert!(client.is_handshaking() && !client.has_failed());
}

#[test]
fn an_answer_is_read_while_the_request_is_unsent() {
    let (mut client, mut server) = connected(&TLS13);
    let body = vec![b'x'; 1 << 20];
    let taken = client.write_plaintext(&body).unwrap();
    assert!(taken > 0 && taken < body.len());
    server.writer().write_all(ANSWER).unwrap();
    server.send_close_notify();
    receive(&mut client, &sent_by(&mut server));
    let (text, end) = read(&mut client);
    assert_eq!(text, ANSWER);
    assert_eq!(end.unwrap(), Plaintext::End);
    assert!(client.has_ciphertext());
    // And none of it is lost to a server that reads on.
    assert_eq!(tell(&mut server, &given_by(&mut client)).unwrap().len(), taken);
}

#[test]
fn nothing_is_taken_before_what_was_taken_is_written() {
    let (mut client, mut server) = connected(&TLS13);
    assert_eq!(client.write_plaintext(REQUEST).unwrap(), REQUEST.len());
    assert_eq!(client.write_plaintext(REQUEST).unwrap(), 0);
    assert_eq!(tell(&mut server, &given_by(&mut client)).unwrap(), REQUEST);
    assert_eq!(client.write_plaintext(REQUEST).unwrap(), REQUEST.len());
}

#[test]
fn what_is_not_tls_is_told_and_answered_with_an_alert() {
    let mut client = client();
    given_by(&mut client);
    receive(&mut client, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert!(client.has_failed() && client.is_handshaking());
    assert_eq!(given_by(&mut client)[0], ALERT);
    let error = read(&mut client).1.unwrap_err();
    assert_eq!(error.to_string(), "what the server sent is not TLS");
}

#[test]
fn a_farewell_is_heard_by_the_server() {
    let (mut client, mut server) = connected(&TLS13);
    client.close();
    tell(&mut server, &given_by(&mut client)).unwrap();
    assert_eq!(server.reader().read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_certificate_is_refused_instead_of_a_ticket() {
    let (of_tls12, _) = connected(&TLS12);
    assert!(!of_tls12.may_be_refused(), "its handshake was the end of that");
    let (mut client, mut server) = (client(), server(&TLS13));
    assert!(!client.may_be_refused(), "nothing is agreed on");
    while client.is_handshaking() {
        tell(&mut server, &given_by(&mut client)).unwrap();
        receive(&mut client, &sent_by(&mut server));
    }
    assert!(client.may_be_refused());
    tell(&mut server, &given_by(&mut client)).unwrap();
    receive(&mut client, &sent_by(&mut server));
    assert!(!client.may_be_refused());
}
