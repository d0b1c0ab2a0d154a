//! Whose part of a schedule: one generator's of several, and within it one thread's.

/// Of everything that has a number (users, arrivals, requests, connections), those whose number leaves `index` when
/// divided by `of`. Nobody has to ask anybody which these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which of them, from 0.
    pub index: u32,
    /// Into how many the whole is divided.
    pub of: u32,
}

impl Share {
    /// The share of whoever is alone.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Of this share the part of thread `thread` of `threads`: again a share of the whole.
    #[must_use]
    pub fn part(self, thread: u32, threads: u32) -> Self {
        Self {
            index: self.index + self.of * thread,
            of: self.of * threads,
        }
    }

    /// Whether what has that number is in it.
    #[must_use]
    pub fn has(self, number: u32) -> bool {
        number % self.of == self.index
    }

    /// Which of those in it that number is, from 0.
    #[must_use]
    pub fn place(self, number: u32) -> usize {
        (number / self.of) as usize
    }

    /// How many of the numbers below `whole` are in it.
    #[must_use]
    pub fn amount(self, whole: u32) -> u32 {
        whole / self.of + u32::from(self.index < whole % self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_and_their_threads_divide_the_whole_without_a_rest() {
        const NUMBERS: u32 = 1000;
        for (generators, threads) in [(1, 1), (1, 3), (4, 1), (3, 2), (5, 4)] {
            let mut owners = vec![0; NUMBERS as usize];
            for index in 0..generators {
                let generator = Share {
                    index,
                    of: generators,
                };
                let mut of_threads = 0;
                for thread in 0..threads {
                    let part = generator.part(thread, threads);
                    let own: Vec<u32> = (0..NUMBERS).filter(|&number| part.has(number)).collect();
                    assert!(own.iter().all(|&number| generator.has(number)));
                    assert!(
                        own.iter()
                            .enumerate()
                            .all(|(at, &number)| part.place(number) == at)
                    );
                    assert_eq!(own.len(), part.amount(NUMBERS) as usize);
                    of_threads += part.amount(NUMBERS);
                    for number in own {
                        owners[number as usize] += 1;
                    }
                }
                assert_eq!(of_threads, generator.amount(NUMBERS));
            }
            assert!(owners.iter().all(|&owners| owners == 1));
        }
        assert_eq!(Share::WHOLE.part(1, 3), Share { index: 1, of: 3 });
    }
}
