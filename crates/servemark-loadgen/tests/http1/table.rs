//! Reads `tests/responses.txt`; its first lines say how it is written.

use crate::any_cut::Then;

/// One response of the table.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) head_only: bool,
    pub(crate) response: Vec<u8>,
    pub(crate) then: Then,
    /// Name of the kind.
    pub(crate) kind: String,
    pub(crate) status: u16,
    pub(crate) is_reusable: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) bytes: u64,
    pub(crate) words: String,
    /// Name of the kind, if a connection that was cut off makes it another.
    pub(crate) cut_kind: Option<String>,
}

/// All of the table.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("../responses.txt").lines() {
        if let Some(name) = line.strip_prefix("- ") {
            cases.push(Case {
                name: name.into(),
                head_only: false,
                response: Vec::new(),
                then: Then::Waits,
                kind: String::new(),
                status: 0,
                is_reusable: false,
                body: Vec::new(),
                bytes: 0,
                words: String::new(),
                cut_kind: None,
            });
        } else if let Some((mark, rest)) = line
            .trim_start()
            .split_once(' ')
            .filter(|_| line.starts_with(' '))
        {
            let case = cases.last_mut().expect("a name comes first");
            match (mark, rest) {
                (">", "HEAD") => case.head_only = true,
                ("<", "FIN") => case.then = Then::Fin,
                ("<", "RST") => case.then = Then::Rst,
                ("<", bytes) => case.response.extend(unescaped(bytes)),
                ("=", record) => read_record(case, record),
                ("!", words) => case.words = words.into(),
                ("~", kind) => case.cut_kind = Some(kind.into()),
                other => panic!("{other:?}"),
            }
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{line}");
        }
    }
    cases
}

fn read_record(case: &mut Case, record: &str) {
    let (before, behind) = record.split_once('"').expect("a body in quotes");
    let (body, behind) = behind.rsplit_once('"').expect("a body in quotes");
    let words: Vec<&str> = before.split_whitespace().collect();
    let [kind, status, future] = words[..] else {
        panic!("{record}");
    };
    case.kind = kind.into();
    case.status = status.parse().expect(record);
    case.is_reusable = future == "reused";
    assert!(case.is_reusable || future == "closed", "{record}");
    case.body = unescaped(body);
    case.bytes = match behind.split_whitespace().next() {
        Some(count) => count.parse().expect(record),
        None => case.response.len() as u64,
    };
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        rest = &rest[1..];
        match first {
            '\\' => {
                let (code, behind) = rest.split_at(1);
                rest = behind;
                bytes.push(match code {
                    "r" => b'\r',
                    "n" => b'\n',
                    "t" => b'\t',
                    "0" => 0,
                    "\\" => b'\\',
                    "x" => {
                        let (digits, behind) = rest.split_at(2);
                        rest = behind;
                        u8::from_str_radix(digits, 16).expect(text)
                    }
                    other => panic!("\\{other}"),
                });
            }
            '{' => {
                let (inside, behind) = rest.split_once('}').expect(text);
                rest = behind;
                let (times, what) = inside.split_once('*').expect(text);
                bytes.extend(unescaped(what).repeat(times.parse().expect(text)));
            }
            plain => bytes.push(u8::try_from(plain).expect("ASCII")),
        }
    }
    bytes
}
