//! A path into JSON: `predictions.0.class`, keys and indices from the outside in, separated by dots.
//!
//! A backslash makes the character after it part of the key. The empty path is the whole body. Nothing is built of
//! the body: it is read once, checked to its end, and only what lies on the path is looked at.

use std::fmt;

use serde_core::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::PlanError;

/// The keys and indices on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    key: String,
    /// What it means in an array, if it is a number.
    index: Option<usize>,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing: this many segments of the path are there.
    Nothing(usize),
    Null,
    False,
    Something,
}

impl JsonPath {
    /// Read a path as it is written.
    pub(super) fn new(text: &str) -> Result<Self, PlanError> {
        let refuse = |why: &str| Err(PlanError(format!("the JSON path {text:?} cannot be used: {why}")));
        let mut keys = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let last = keys.len() - 1;
            match character {
                '.' => keys.push(String::new()),
                '\\' => match characters.next() {
                    Some(escaped) => keys[last].push(escaped),
                    None => return refuse("nothing follows its last backslash"),
                },
                other => keys[last].push(other),
            }
        }
        if text.is_empty() {
            keys.clear();
        }
        if keys.iter().any(String::is_empty) {
            return refuse("a key between its dots is empty; write it as in predictions.0.class");
        }
        let segments = keys.into_iter().map(|key| Segment {
            index: key.parse().ok(),
            key,
        });
        Ok(Self {
            text: text.to_owned(),
            segments: segments.collect(),
        })
    }

    /// Whether `body` is JSON with nothing at the path, or with null or false; what is wrong, in words, if not.
    pub(super) fn check_absent(&self, body: &[u8]) -> Result<(), String> {
        match self.find(body)? {
            Found::Something => Err(format!("the body is JSON, and has {}", self.text)),
            Found::Nothing(_) | Found::Null | Found::False => Ok(()),
        }
    }

    /// What stands at the path in `body`; or, in words, that it is no JSON.
    fn find(&self, body: &[u8]) -> Result<Found, String> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let walk = Walk {
            rest: &self.segments,
            passed: 0,
        };
        walk.deserialize(&mut reader)
            .and_then(|found| reader.end().map(|()| found))
            .map_err(|error| format!("the body is no JSON: {error}"))
    }

    /// Whether `body` is JSON with something at the path; what is wrong, in words, if not.
    pub(super) fn check(&self, body: &[u8]) -> Result<(), String> {
        let found = self.find(body)?;
        let whole = if self.text.is_empty() { "it" } else { &self.text };
        match found {
            Found::Something => Ok(()),
            Found::Null => Err(format!("the body is JSON, but {whole} is null")),
            Found::False => Err(format!("the body is JSON, but {whole} is false")),
            Found::Nothing(passed) => {
                let keys = self.segments[..=passed]
                    .iter()
                    .map(|segment| segment.key.as_str());
                let missing = keys.collect::<Vec<_>>().join(".");
                Err(format!("the body is JSON, but has no {missing}"))
            }
        }
    }
}

/// The way from one value on.
#[derive(Clone, Copy)]
struct Walk<'path> {
    rest: &'path [Segment],
    passed: usize,
}

impl<'path> Walk<'path> {
    /// What a value is that holds no others.
    fn here(self, value: Found) -> Found {
        if self.rest.is_empty() {
            value
        } else {
            Found::Nothing(self.passed)
        }
    }

    /// The segment that leads on from here, and the way behind it.
    fn split(self) -> Option<(&'path Segment, Self)> {
        let (first, rest) = self.rest.split_first()?;
        let passed = self.passed + 1;
        Some((first, Self { rest, passed }))
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Found, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Found;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Found, E> {
        Ok(self.here(Found::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Found, E> {
        Ok(self.here(if value { Found::Something } else { Found::False }))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Found, E> {
        Ok(self.here(Found::Something))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Found, E> {
        Ok(self.here(Found::Something))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Found, E> {
        Ok(self.here(Found::Something))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Found, E> {
        Ok(self.here(Found::Something))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Found, A::Error> {
        let next = self.split();
        let wanted = next.and_then(|(segment, rest)| Some((segment.index?, rest)));
        let mut found = self.here(Found::Something);
        for at in 0_usize.. {
            let more = match wanted {
                Some((index, rest)) if index == at => {
                    values.next_element_seed(rest)?.map(|value| found = value)
                }
                _ => values.next_element::<IgnoredAny>()?.map(|_| ()),
            };
            if more.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Found, A::Error> {
        let mut found = self.here(Found::Something);
        let Some((segment, rest)) = self.split() else {
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(found);
        };
        while let Some(is_wanted) = entries.next_key_seed(KeyIs(&segment.key))? {
            if is_wanted {
                found = entries.next_value_seed(rest)?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a key is this one.
struct KeyIs<'path>(&'path str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}
