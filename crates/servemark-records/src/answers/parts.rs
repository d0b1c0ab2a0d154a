//! A file of bodies, read part by part, and the answers that are not complete yet.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::Path;

use servemark_loadgen::body_part::{HEAD_BYTES, Head, Part};

use super::answer::{Answer, Reading};
use super::format::Format;

/// A part is no longer than what is read at once; a head that says more is none.
const MOST_PART_BYTES: u32 = 64 << 20;
const READ_AT_ONCE_BYTES: usize = 1 << 20;

/// The next part of a file, into `bytes`; `None` at its end, or where it was cut off by the end of its writer.
fn next_part(file: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<Option<Head>> {
    let mut head = [0; HEAD_BYTES];
    if !is_read(file.read_exact(&mut head))? {
        return Ok(None);
    }
    let head = Head::read(&head).filter(|head| head.bytes <= MOST_PART_BYTES);
    let Some(head) = head else {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "it is not what was recorded",
        ));
    };
    bytes.resize(head.bytes as usize, 0);
    Ok(is_read(file.read_exact(bytes))?.then_some(head))
}

fn is_read(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The answers that are under way at some place of a file.
pub(super) struct Unfinished<Source> {
    file: Source,
    /// By step; the bytes of one that has none are passed over.
    formats: Vec<Option<Format>>,
    keeps_text: bool,
    bytes: Vec<u8>,
    readings: HashMap<u64, Reading>,
    /// Complete, and not yet asked for: records of other threads stand before theirs.
    complete: HashMap<u64, Answer>,
}

impl<Source: BufRead> Unfinished<Source> {
    pub(super) fn new(file: Source, formats: Vec<Option<Format>>, keeps_text: bool) -> Self {
        Self {
            file,
            formats,
            keeps_text,
            bytes: Vec::new(),
            readings: HashMap::new(),
            complete: HashMap::new(),
        }
    }

    /// The answer to the request `seq`; `None` where the file does not have all of it.
    pub(super) fn take(&mut self, seq: u64) -> io::Result<Option<Answer>> {
        loop {
            if let Some(answer) = self.complete.remove(&seq) {
                return Ok(Some(answer));
            }
            match self.next()? {
                Some((number, answer)) => self.complete.insert(number, answer),
                None => return Ok(None),
            };
        }
    }

    /// The next answer that is complete, and the number of its request; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Answer)>> {
        while let Some(head) = next_part(&mut self.file, &mut self.bytes)? {
            let Some(format) = self.formats.get(usize::from(head.step)).copied().flatten() else {
                continue;
            };
            let keeps_text = self.keeps_text;
            let begun = || Reading::new(format, keeps_text);
            if head.part == Part::Bytes {
                let reading = self.readings.entry(head.seq).or_insert_with(begun);
                reading.receive(&self.bytes, head.time_ns);
                continue;
            }
            let reading = self.readings.remove(&head.seq).unwrap_or_else(begun);
            let answer = reading.end(head.time_ns, head.part == Part::CutEnd);
            return Ok(Some((head.seq, answer)));
        }
        Ok(None)
    }
}

/// What was said in each answer of a file, in the order of their ends.
pub struct Texts {
    unfinished: Unfinished<BufReader<File>>,
}

impl Texts {
    /// Those in the file at `path`, behind its header, of steps with these formats.
    pub fn open(path: &Path, header_bytes: u64, formats: Vec<Option<Format>>) -> io::Result<Self> {
        Ok(Self {
            unfinished: Unfinished::new(opened(path, header_bytes)?, formats, true),
        })
    }

    /// The next `most` of them, with the numbers of their requests; fewer only at the end.
    pub fn next(&mut self, most: usize) -> io::Result<Vec<(u64, String)>> {
        let mut texts = Vec::new();
        while texts.len() < most {
            let Some((seq, answer)) = self.unfinished.next()? else {
                break;
            };
            texts.push((seq, answer.into_text()));
        }
        Ok(texts)
    }
}

/// A file of bodies, behind its header.
pub(super) fn opened(path: &Path, header_bytes: u64) -> io::Result<BufReader<File>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(header_bytes))?;
    Ok(BufReader::with_capacity(READ_AT_ONCE_BYTES, file))
}
