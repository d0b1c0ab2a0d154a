//! A stream of server-sent events cut into its events, as `servemark_loadgen::sse` counts them, with what they say.

/// So much of an event is kept; of a longer one it is only known that it was there.
const MOST_EVENT_BYTES: usize = 1 << 20;
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Cuts one stream.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is of something else")]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    kind: Vec<u8>,
    has_data: bool,
    is_too_long: bool,
    after_return: bool,
    has_lines: bool,
}

impl Events {
    /// Take the next bytes; `dispatch` gets the type and the data of each event that they complete. Of one that is too
    /// long the data is `None`.
    pub(super) fn receive(&mut self, bytes: &[u8], mut dispatch: impl FnMut(&[u8], Option<&[u8]>)) {
        let mut rest = bytes;
        if std::mem::take(&mut self.after_return) && rest.first() == Some(&b'\n') {
            rest = &rest[1..];
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.keep(&rest[..end]);
            let is_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_return && rest.first() == Some(&b'\n') {
                rest = &rest[1..];
            } else if is_return && rest.is_empty() {
                self.after_return = true;
            }
            self.end_line(&mut dispatch);
        }
        self.keep(rest);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let kept = self.line.len() + self.data.len();
        if kept + bytes.len() > MOST_EVENT_BYTES {
            self.is_too_long = true;
            // Its name is enough to know what the line is.
            let room = 8_usize.saturating_sub(self.line.len()).min(bytes.len());
            self.line.extend_from_slice(&bytes[..room]);
            return;
        }
        self.line.extend_from_slice(bytes);
    }

    fn end_line(&mut self, dispatch: &mut impl FnMut(&[u8], Option<&[u8]>)) {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.has_lines, true) && line.starts_with(MARK) {
            line.drain(..MARK.len());
        }
        if line.is_empty() {
            if self.has_data {
                let data = (!self.is_too_long).then_some(self.data.as_slice());
                dispatch(&self.kind, data);
            }
            self.data.clear();
            self.data.shrink_to(4096);
            self.kind.clear();
            (self.has_data, self.is_too_long) = (false, false);
        } else {
            self.take_field(&line);
        }
        line.clear();
        line.shrink_to(4096);
        self.line = line;
    }

    fn take_field(&mut self, line: &[u8]) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => self.kind = value[..value.len().min(64)].to_vec(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use servemark_loadgen::sse::EventStream;

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

    #[test]
    fn it_finds_the_events_that_the_generator_counted_at_the_same_bytes() {
        const PIECES: [&[u8]; 14] = [
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
            let (mut counter, mut events) = (EventStream::default(), Events::default());
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(1 + random(rest.len()));
                let mut found = 0;
                events.receive(piece, |_, _| found += 1);
                assert_eq!(
                    found,
                    counter.receive(piece),
                    "{:?}",
                    String::from_utf8_lossy(&bytes)
                );
                rest = others;
            }
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
        assert!(events.line.capacity() <= 2 * MOST_EVENT_BYTES);
        events.receive(b"\n\ndata: y\n\n", |_, data| found.push(data.map(<[u8]>::to_vec)));
        assert_eq!(found, [None, Some(b"y".to_vec())]);
        assert!(events.line.capacity() + events.data.capacity() <= 8192 + 4096);
    }
}
