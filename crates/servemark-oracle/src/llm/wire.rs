//! How the events of a stream become writes.

use super::{Cut, Sent};
use crate::script::{Packet, Script};

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const END: &[u8] = b"0\r\n\r\n";
/// So much of the next event a torn chunk has: `data: {` and no more.
const TORN_BYTES: usize = 7;

/// A response with its length.
pub(super) fn whole(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body.as_bytes()].concat()
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// The script of events, which stand in the order of their times; those of one time go together.
pub(super) fn cut(events: &[Sent], how: Cut) -> Script {
    let mut packets: Vec<Packet> = Vec::new();
    let per_packet = if how == Cut::Pairs { 2 } else { 1 };
    let pieces = if how == Cut::Torn {
        torn(events)
    } else {
        events.to_vec()
    };
    for together in pieces.chunks(per_packet) {
        let text: String = together.iter().map(|event| event.text.as_str()).collect();
        let writes = match how {
            Cut::Joined => {
                let (one, other) = text.split_at(text.len() / 2);
                vec![chunk(one), chunk(other)]
            }
            Cut::Bytes => chunk(&text).iter().map(|byte| vec![*byte]).collect(),
            Cut::Events | Cut::Pairs | Cut::Torn => vec![chunk(&text)],
        };
        packets.push(Packet {
            after_ns: together[0].after_ns,
            writes,
            contents: together.iter().map(|event| event.contents).sum(),
            tokens: together.iter().map(|event| event.tokens).sum(),
        });
    }
    if let Some(first) = packets.first_mut() {
        first.writes[0].splice(0..0, HEAD.iter().copied());
    }
    if let Some(last) = packets.last_mut() {
        last.writes.push(END.to_vec());
    }
    Script { packets }
}

/// The same bytes, of which each piece has some of the next event's.
fn torn(events: &[Sent]) -> Vec<Sent> {
    let bounds = events.iter().enumerate().map(|(place, event)| {
        let next = events.get(place + 1).map_or("", |next| &next.text[..TORN_BYTES]);
        let own = if place == 0 { 0 } else { TORN_BYTES };
        Sent {
            text: format!("{}{next}", &event.text[own..]),
            ..event.clone()
        }
    });
    bounds.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<Sent> {
        let of = |place: i64| Sent {
            after_ns: place,
            text: format!("data: {{\"place\": {place}}}\n\n"),
            contents: 1,
            tokens: 1,
        };
        (0..3).map(of).collect()
    }

    /// The body that writes are, decoded from its chunks.
    fn body(script: &Script) -> String {
        let bytes = script.packets.iter().flat_map(|packet| packet.writes.concat());
        let text = String::from_utf8(bytes.collect()).unwrap();
        let mut rest = text.split_once("\r\n\r\n").unwrap().1;
        let mut body = String::new();
        while let Some((size, more)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).unwrap();
            body += &more[..size];
            rest = &more[size + 2..];
        }
        body
    }

    #[test]
    fn however_they_are_cut_the_body_is_the_same() {
        let whole: String = events().iter().map(|event| event.text.clone()).collect();
        for (how, packets) in [
            (Cut::Events, 3),
            (Cut::Bytes, 3),
            (Cut::Pairs, 2),
            (Cut::Torn, 3),
            (Cut::Joined, 3),
        ] {
            let script = cut(&events(), how);
            assert_eq!(body(&script), whole, "{how:?}");
            assert_eq!(script.packets.len(), packets, "{how:?}");
            assert_eq!(
                script.packets.iter().map(|packet| packet.contents).sum::<u32>(),
                3
            );
        }
    }

    #[test]
    fn a_torn_chunk_ends_within_the_next_event() {
        let script = cut(&events(), Cut::Torn);
        let first = String::from_utf8(script.packets[0].writes[0].clone()).unwrap();
        assert!(first.ends_with("\n\ndata: {\r\n"), "{first:?}");
        let joined = cut(&events(), Cut::Joined);
        assert_eq!(joined.packets[1].writes.len(), 2);
    }
}
