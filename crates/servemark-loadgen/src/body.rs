//! What is kept of a response's body while it passes: its first bytes, its length and, where asked for, its digest.

use ring::digest::{Context, SHA256};

/// A SHA-256 digest: two bodies with the same one are the same.
pub type Digest = [u8; 32];

/// What of each body a connection looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// How many of its first bytes are kept.
    pub keep_bytes: usize,
    /// Whether the whole of it is digested.
    pub digest: bool,
}

/// A body, decoded from its chunks, as far as it has come.
pub struct Body {
    kept: Vec<u8>,
    keep_bytes: usize,
    bytes: u64,
    /// Boxed, since it is larger than all the rest of a connection's state, and seldom there.
    digest: Option<Box<Context>>,
}

impl Body {
    /// No body yet.
    #[must_use]
    pub fn new(watch: Watch) -> Self {
        Self {
            kept: Vec::new(),
            keep_bytes: watch.keep_bytes,
            bytes: 0,
            digest: watch.digest.then(|| Box::new(Context::new(&SHA256))),
        }
    }

    /// Begin another body.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
        if let Some(digest) = &mut self.digest {
            **digest = Context::new(&SHA256);
        }
    }

    /// More of it came.
    pub fn add(&mut self, data: &[u8]) {
        let room = self.keep_bytes.saturating_sub(self.kept.len()).min(data.len());
        self.kept.extend_from_slice(&data[..room]);
        self.bytes += data.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(data);
        }
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
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.bytes == self.kept.len() as u64
    }

    /// The digest of what came, if the connection was to make one.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let digest = Context::clone(self.digest.as_deref()?).finish();
        digest.as_ref().try_into().ok()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digested = self.digest.is_some();
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
        };
        let mut body = Body::new(watch);
        body.add(b"another one");
        body.clear();
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
        assert_eq!(Body::new(Watch::default()).digest(), None);
    }
}
