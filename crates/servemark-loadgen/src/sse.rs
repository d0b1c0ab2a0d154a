//! Server-sent events: how many a stream has dispatched, after the HTML standard ("Server-sent events", sections
//! "Parsing an event stream" and "Interpreting an event stream").
//!
//! A state machine without a socket and without a buffer. An event is what a browser would dispatch: a block of lines with
//! at least one `data` field, ended by a blank line. Comments, other fields, blocks without data, and a block that the
//! stream's end cuts off are none. What an event says is not looked at; who wants to know is told where blocks end.

/// Counts the events of one stream, or cuts it into its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventStream {
    at: At,
    /// The block has a `data` field.
    has_data: bool,
    /// The last byte was a carriage return: a line feed now belongs to it.
    after_return: bool,
}

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// At the beginning of the stream, where alone a byte order mark is skipped.
    #[default]
    Start,
    /// Behind so many bytes of it.
    Mark(u8),
    LineStart,
    /// Behind so many letters of `data`, and nothing else.
    Name(u8),
    /// Where nothing can change what the line is.
    Rest,
}

const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
const NAME: [u8; 4] = *b"data";
const WHOLE_NAME: u8 = NAME.len() as u8;

impl EventStream {
    /// Take the next bytes of the stream; returns how many events they completed. The sum does not depend on the cuts.
    pub fn receive(&mut self, bytes: &[u8]) -> u32 {
        let mut dispatched = 0;
        self.cut(bytes, |_, is_event| dispatched += u32::from(is_event));
        dispatched
    }

    /// Take the next bytes of the stream; `block` is told behind which of them a block ends, a blank line being one too,
    /// and whether that dispatched an event.
    pub fn cut(&mut self, bytes: &[u8], mut block: impl FnMut(usize, bool)) {
        let mut rest = bytes;
        while let Some((&byte, others)) = rest.split_first() {
            rest = others;
            if std::mem::take(&mut self.after_return) && byte == b'\n' {
                continue;
            }
            if byte == b'\n' || byte == b'\r' {
                self.after_return = byte == b'\r';
                if let Some(is_event) = self.end_line() {
                    block(bytes.len() - rest.len(), is_event);
                }
                continue;
            }
            self.at = self.step(byte);
            if self.at == At::Rest {
                let end = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r');
                rest = &rest[end.unwrap_or(rest.len())..];
            }
        }
    }

    /// A line is over. Returns of a blank one whether that dispatched an event.
    fn end_line(&mut self) -> Option<bool> {
        match std::mem::replace(&mut self.at, At::LineStart) {
            At::Start | At::LineStart => return Some(std::mem::take(&mut self.has_data)),
            // A line without a colon is a field's name alone, and an empty value is data too.
            At::Name(WHOLE_NAME) => self.has_data = true,
            At::Mark(_) | At::Name(_) | At::Rest => {}
        }
        None
    }

    /// Where the byte after `byte` stands, which ends no line.
    fn step(&mut self, byte: u8) -> At {
        match self.at {
            At::Start if byte == MARK[0] => At::Mark(1),
            At::Mark(1) if byte == MARK[1] => At::Mark(2),
            At::Mark(2) if byte == MARK[2] => At::LineStart,
            At::Start | At::LineStart if byte == NAME[0] => At::Name(1),
            At::Name(letters) if NAME.get(usize::from(letters)) == Some(&byte) => At::Name(letters + 1),
            At::Name(WHOLE_NAME) if byte == b':' => {
                self.has_data = true;
                At::Rest
            }
            _ => At::Rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pieces: &[&[u8]]) -> u32 {
        let mut stream = EventStream::default();
        pieces.iter().map(|piece| stream.receive(piece)).sum()
    }

    #[test]
    fn an_event_is_a_block_with_data_that_a_blank_line_ends() {
        let cases: [(&str, u32); 32] = [
            ("", 0),
            ("data: x\n\n", 1),
            ("data: x\r\r", 1),
            ("data: x\r\n\r\n", 1),
            ("data: x\n\r\n", 1),
            ("data: x\r\n\n", 1),
            ("data: x\n\r", 1),
            ("data: a\ndata: b\n\n", 1),
            ("data: a\n\ndata: b\n\n", 2),
            ("data: a\n\n\n\n\ndata: b\n\n", 2),
            // The end of the stream dispatches nothing.
            ("data: x", 0),
            ("data: x\n", 0),
            ("data: x\n\ndata: y\n", 1),
            // Data may be empty, and the colon left out.
            ("data:\n\n", 1),
            ("data\n\n", 1),
            ("data\n\ndata\ndata\n\ndata:", 2),
            // Other fields, comments and near misses are no data.
            ("event: add\nid: 7\nretry: 10\n\n", 0),
            ("event: add\ndata: 1\nid: 7\n\n", 1),
            (": comment\n\n", 0),
            (":data: x\n\n", 0),
            (": data\ndata: x\n: more\n\n", 1),
            ("Data: x\n\n", 0),
            ("datab: x\n\n", 0),
            ("dat\n\n", 0),
            ("dat:a\n\n", 0),
            (" data: x\n\n", 0),
            ("data : x\n\n", 0),
            ("x data: x\n\n", 0),
            // One byte order mark, at the beginning only.
            ("\u{feff}data: x\n\n", 1),
            ("\u{feff}\u{feff}data: x\n\n", 0),
            ("\ndata: x\n\n\u{feff}data: y\n\n", 1),
            ("\u{fefe}data: x\n\ndata: y\n\n", 1),
        ];
        for (text, events) in cases {
            let bytes = text.as_bytes();
            assert_eq!(count(&[bytes]), events, "{text:?}");
            for cut in 0..bytes.len() {
                let (first, second) = bytes.split_at(cut);
                assert_eq!(count(&[first, second]), events, "{text:?} cut at {cut}");
            }
            let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(count(&pieces), events, "{text:?} byte by byte");
        }
    }

    #[test]
    fn an_event_is_dispatched_by_the_first_byte_of_its_last_line_end() {
        let mut stream = EventStream::default();
        assert_eq!(stream.receive(b"data: x\r\n"), 0);
        assert_eq!(stream.receive(b"\r"), 1);
        assert_eq!(stream.receive(b"\n"), 0);
    }

    #[test]
    fn a_long_line_takes_no_memory() {
        let mut stream = EventStream::default();
        assert_eq!(stream.receive(b"data: "), 0);
        for _ in 0..1000 {
            assert_eq!(stream.receive(&[b'x'; 4096]), 0);
        }
        assert_eq!(stream.receive(b"\n\n"), 1);
        assert!(size_of::<EventStream>() <= 4);
    }

    /// What the standard says, word by word, on a whole stream.
    fn as_the_standard_says(bytes: &[u8]) -> u32 {
        let decoded = String::from_utf8_lossy(bytes);
        let text = decoded.strip_prefix('\u{feff}').unwrap_or(&decoded);
        let mut lines: Vec<String> = vec![String::new()];
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\r' => {
                    characters.next_if_eq(&'\n');
                    lines.push(String::new());
                }
                '\n' => lines.push(String::new()),
                other => lines.last_mut().unwrap().push(other),
            }
        }
        lines.pop(); // Not ended.
        let (mut dispatched, mut data) = (0, String::new());
        for line in lines {
            if line.is_empty() {
                dispatched += u32::from(!data.is_empty());
                data.clear();
            } else if !line.starts_with(':') {
                let (field, value) = line.split_once(':').unwrap_or((&line, ""));
                if field == "data" {
                    data.push_str(value.strip_prefix(' ').unwrap_or(value));
                    data.push('\n');
                }
            }
        }
        dispatched
    }

    #[test]
    fn any_stream_cut_anyhow_gives_what_the_standard_says() {
        const PIECES: [&[u8]; 16] = [
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
            b"d",
            b"a",
            b"\xef\xbb\xbf",
            b"\xef",
            b"\xbb",
            b"\0\xff",
        ];
        let mut state = 1;
        let mut random = |below: usize| {
            state = crate::draw::splitmix64(state);
            (state % below as u64) as usize
        };
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random(24))
                .flat_map(|_| PIECES[random(PIECES.len())])
                .copied()
                .collect();
            let expected = as_the_standard_says(&bytes);
            let mut stream = EventStream::default();
            let (mut rest, mut events) = (&bytes[..], 0);
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(1 + random(rest.len()));
                events += stream.receive(piece);
                rest = others;
            }
            assert_eq!(events, expected, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
