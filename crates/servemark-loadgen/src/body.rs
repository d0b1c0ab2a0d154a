//! What is kept of a response's body while it passes: its first bytes, its length and, where asked for, its digest and
//! the bytes that came last.

use ring::digest::{Context, SHA256};

use crate::body_part::MOST_BYTES;

/// Room that a connection keeps for the bytes that come next.
const PART_ROOM_BYTES: usize = 4096;

/// A SHA-256 digest: two bodies with the same one are the same.
pub type Digest = [u8; 32];

/// What is looked at of the body that answers a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// How many of its first bytes are kept.
    pub keep_bytes: usize,
    /// Whether the whole of it is digested.
    pub digest: bool,
    /// Whether all of its bytes are handed on as they come, up to [`MOST_BYTES`].
    pub hands_on: bool,
}

/// A body, decoded from its chunks, as far as it has come.
#[derive(Default)]
pub struct Body {
    kept: Vec<u8>,
    watch: Watch,
    bytes: u64,
    /// Boxed, since it is larger than all the rest of a connection's state, and seldom there. It stays for the next body
    /// that is digested.
    digest: Option<Box<Context>>,
    /// What came with the last bytes that were received, if it is handed on.
    part: Vec<u8>,
}

impl Body {
    /// Begin another body, of which `watch` is looked at. Memory beyond what that takes is given back: a connection that
    /// once carried a body to be looked into does not hold on to its size.
    pub(crate) fn begin(&mut self, watch: Watch) {
        self.kept.clear();
        self.kept.shrink_to(watch.keep_bytes);
        self.part.clear();
        self.part
            .shrink_to(if watch.hands_on { PART_ROOM_BYTES } else { 0 });
        self.bytes = 0;
        self.watch = watch;
        if watch.digest {
            match &mut self.digest {
                Some(digest) => **digest = Context::new(&SHA256),
                None => self.digest = Some(Box::new(Context::new(&SHA256))),
            }
        }
    }

    /// More of it came.
    pub(crate) fn add(&mut self, data: &[u8]) {
        let room = self.watch.keep_bytes.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&data[..room.min(data.len())]);
        self.bytes += data.len() as u64;
        if self.watch.hands_on && self.bytes <= MOST_BYTES {
            self.part.extend_from_slice(data);
        }
        if let Some(digest) = self.digest.as_mut().filter(|_| self.watch.digest) {
            digest.update(data);
        }
    }

    /// Whatever comes now is another part.
    pub(crate) fn begin_part(&mut self) {
        self.part.clear();
    }

    /// What came since the part began, where it is handed on.
    #[must_use]
    pub fn part(&self) -> &[u8] {
        &self.part
    }

    /// Whether it is longer than what is handed on of it.
    pub(crate) fn is_cut(&self) -> bool {
        self.bytes > MOST_BYTES
    }

    /// Its first bytes.
    #[must_use]
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// How many bytes it has, kept or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether all of it was kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.bytes == self.kept.len() as u64
    }

    /// The digest of what came, if one was to be made.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let digest = self.digest.as_deref().filter(|_| self.watch.digest)?;
        let digest = Context::clone(digest).finish();
        digest.as_ref().try_into().ok()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digested = self.watch.digest;
        formatter
            .debug_struct("Body")
            .field("bytes", &self.bytes)
            .field("digested", &digested)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_digested_however_it_was_cut_and_whatever_came_before() {
        let watch = Watch {
            keep_bytes: 4,
            digest: true,
            hands_on: false,
        };
        let mut body = Body::default();
        body.begin(watch);
        body.add(b"another one");
        body.begin(watch);
        for byte in b"hello" {
            body.add(&[*byte]);
        }
        assert_eq!(
            (body.kept(), body.bytes(), body.is_whole()),
            (&b"hell"[..], 5, false)
        );
        let digest = body.digest().unwrap();
        // `printf hello | sha256sum`
        assert_eq!(digest[..4], [0x2c, 0xf2, 0x4d, 0xba]);
        body.begin(Watch::default());
        assert_eq!(body.digest(), None);
    }

    #[test]
    fn what_is_handed_on_is_what_came_since_the_part_began() {
        let mut body = Body::default();
        body.begin(Watch::default());
        body.add(b"unseen");
        assert_eq!(body.part(), b"");
        body.begin(Watch {
            hands_on: true,
            ..Watch::default()
        });
        body.add(b"a");
        body.add(b"b");
        assert_eq!(body.part(), b"ab");
        body.begin_part();
        body.add(b"c");
        assert_eq!((body.part(), body.is_cut()), (&b"c"[..], false));
    }

    #[test]
    fn of_a_body_without_end_no_more_is_handed_on() {
        let (mut body, large) = (Body::default(), vec![b'x'; 1 << 20]);
        body.begin(Watch {
            hands_on: true,
            ..Watch::default()
        });
        let mut handed_on = 0;
        for _ in 0..20 {
            body.begin_part();
            body.add(&large);
            handed_on += body.part().len() as u64;
        }
        assert_eq!((handed_on, body.is_cut()), (MOST_BYTES, true));
    }

    #[test]
    fn a_body_that_was_looked_into_leaves_no_memory_behind() {
        let (mut body, large) = (Body::default(), vec![b'x'; 1 << 20]);
        for (keep_bytes, most) in [
            (256 << 10, 512 << 10),
            (2048, 2048),
            (256 << 10, 512 << 10),
            (0, 0),
        ] {
            body.begin(Watch {
                keep_bytes,
                digest: false,
                hands_on: false,
            });
            body.add(&large);
            assert_eq!((body.kept().len(), body.is_whole()), (keep_bytes, false));
            assert!(body.kept.capacity() <= most, "{}", body.kept.capacity());
        }
    }
}
