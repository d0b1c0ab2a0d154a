//! A stream of server-sent events with what they say, where `servemark_loadgen::sse` cuts it.

use servemark_loadgen::sse::EventStream;

/// So much of a block is kept; of an event in a longer one it is only known that it was there.
const MOST_BLOCK_BYTES: usize = 1 << 20;
/// So much room stays between two blocks.
const ROOM_BYTES: usize = 4096;
/// So much of an event's type is looked at.
const MOST_KIND_BYTES: usize = 64;
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    stream: EventStream,
    block: Vec<u8>,
    is_too_long: bool,
    is_begun: bool,
}

impl Events {
    /// Take the next bytes; `dispatch` gets the type and the data of each event that they complete. Of one that is too
    /// long the data is `None`.
    pub(super) fn receive(&mut self, bytes: &[u8], mut dispatch: impl FnMut(&[u8], Option<&[u8]>)) {
        let (mut stream, mut from) = (self.stream, 0);
        stream.cut(bytes, |end, is_event| {
            self.keep(&bytes[from..end]);
            from = end;
            if is_event {
                let (kind, data) = said(&self.block);
                dispatch(&kind, (!self.is_too_long).then_some(data.as_slice()));
            }
            self.block.clear();
            self.block.shrink_to(ROOM_BYTES);
            (self.is_too_long, self.is_begun) = (false, true);
        });
        self.stream = stream;
        self.keep(&bytes[from..]);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.block.len() + bytes.len() > MOST_BLOCK_BYTES {
            self.is_too_long = true;
            return;
        }
        self.block.extend_from_slice(bytes);
        if !self.is_begun && self.block.len() >= MARK.len() {
            self.is_begun = true;
            if self.block.starts_with(MARK) {
                self.block.drain(..MARK.len());
            }
        }
    }
}

/// The type and the data of the event that a block is. Of a line feed that belongs to a carriage return before it an
/// empty line is left, which says nothing.
fn said(block: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut kind, mut data, mut has_data) = (Vec::new(), Vec::new(), false);
    for line in block.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if std::mem::replace(&mut has_data, true) {
                    data.push(b'\n');
                }
                data.extend_from_slice(value);
            }
            b"event" => kind = value[..value.len().min(MOST_KIND_BYTES)].to_vec(),
            _ => {}
        }
    }
    (kind, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<(String, Option<String>)> {
        let (mut events, mut found) = (Events::default(), Vec::new());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for piece in pieces {
            events.receive(piece, |kind, data| found.push((text(kind), data.map(text))));
        }
        found
    }

    #[test]
    fn an_event_is_its_type_and_its_lines_of_data() {
        let stream = b"data: a\n\nevent: error\ndata:b\ndata: c\n\n: comment\nid: 1\n\ndata\n\n";
        let expected = [("", "a"), ("error", "b\nc"), ("", "")];
        let expected = expected.map(|(kind, data)| (kind.to_owned(), Some(data.to_owned())));
        assert_eq!(cut(&[stream]), expected);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(cut(&bytes), expected);
    }

    /// What the standard says, word by word, on a whole stream.
    fn as_the_standard_says(bytes: &[u8]) -> Vec<(String, Option<String>)> {
        let whole = String::from_utf8_lossy(bytes)
            .replace("\r\n", "\n")
            .replace('\r', "\n");
        let text = whole.strip_prefix('\u{feff}').unwrap_or(&whole);
        let (mut found, mut kind, mut data) = (Vec::new(), String::new(), String::new());
        let ended = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in ended
            .split('\n')
            .filter(|_| !text.is_empty() && text.contains('\n'))
        {
            if line.is_empty() {
                if let Some(said) = data.strip_suffix('\n') {
                    found.push((kind.clone(), Some(said.to_owned())));
                }
                (kind, data) = (String::new(), String::new());
            } else if !line.starts_with(':') {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match name {
                    "data" => data = format!("{data}{value}\n"),
                    "event" => value.clone_into(&mut kind),
                    _ => {}
                }
            }
        }
        found
    }

    #[test]
    fn what_the_events_of_any_stream_say_does_not_depend_on_the_cuts() {
        const PIECES: [&[u8]; 15] = [
            b"data",
            b":",
            b" ",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"\r\r",
            b"data: x",
            b"event",
            b"event:e",
            b"d",
            b"a",
            b"\xef\xbb\xbf",
            b"\xef",
        ];
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random(24))
                .flat_map(|_| PIECES[random(PIECES.len())])
                .copied()
                .collect();
            let (mut pieces, mut rest) = (Vec::new(), &bytes[..]);
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(1 + random(rest.len()));
                pieces.push(piece);
                rest = others;
            }
            assert_eq!(
                cut(&pieces),
                as_the_standard_says(&bytes),
                "{:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }

    #[test]
    fn an_event_without_end_takes_no_more_than_its_limit() {
        let mut events = Events::default();
        let mut found = Vec::new();
        events.receive(b"data: ", |_, _| {});
        for _ in 0..64 {
            events.receive(&vec![b'x'; 1 << 16], |_, _| {});
        }
        assert!(events.block.capacity() <= 2 * MOST_BLOCK_BYTES);
        events.receive(b"\n\ndata: y\n\n", |_, data| found.push(data.map(<[u8]>::to_vec)));
        assert_eq!(found, [None, Some(b"y".to_vec())]);
        assert!(events.block.capacity() <= ROOM_BYTES);
    }
}
