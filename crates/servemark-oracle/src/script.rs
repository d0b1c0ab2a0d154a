//! Scripts: what is sent for a request, and when, told from when its answer is ready.

use crate::http;

/// What is written at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packet {
    /// When, from the time at which the answer is ready.
    pub(crate) after_ns: i64,
    /// One after the other, without a pause: each a packet of its own unless the kernel joins them.
    pub(crate) writes: Vec<Vec<u8>>,
    /// Events with content that are complete with it.
    pub(crate) contents: u32,
    /// Tokens in them.
    pub(crate) tokens: u32,
}

/// What is sent for a request, in order; at least one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) packets: Vec<Packet>,
}

impl Script {
    /// One write that is the whole answer.
    pub(crate) fn of_answer(bytes: Vec<u8>) -> Self {
        Self {
            packets: vec![Packet {
                writes: vec![bytes],
                ..Packet::default()
            }],
        }
    }

    /// `count` server-sent events, the first when a plain answer would be due; a plain answer where there are none.
    pub(crate) fn of_events(count: u32, every_ns: i64) -> Self {
        if count == 0 {
            return Self::of_answer(http::ANSWER.to_vec());
        }
        let packets = (0..count).map(|index| Packet {
            after_ns: i64::from(index) * every_ns,
            writes: vec![http::event(index, count)],
            ..Packet::default()
        });
        Self {
            packets: packets.collect(),
        }
    }

    /// When the last packet is due, from the time at which the answer is ready.
    pub(crate) fn lasts_ns(&self) -> i64 {
        self.packets.last().map_or(0, |packet| packet.after_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_follow_one_another_at_their_distance() {
        let script = Script::of_events(3, 10);
        let times: Vec<_> = script.packets.iter().map(|packet| packet.after_ns).collect();
        assert_eq!((times, script.lasts_ns()), (vec![0, 10, 20], 20));
        assert_eq!(script.packets[2].writes, [http::event(2, 3)]);
        assert_eq!(Script::of_events(0, 10).packets[0].writes, [http::ANSWER]);
    }
}
