//! Register sets that are arrays of words of the machine's size, each of which is a `u64` to us.

/// As many words as `bytes` are, if these are `N`.
pub(crate) fn from_bytes<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let (words, rest) = bytes.as_chunks::<{ size_of::<usize>() }>();
    let words: Vec<u64> = words.iter().map(|word| usize::from_ne_bytes(*word) as u64).collect();
    words.try_into().ok().filter(|_| rest.is_empty())
}

/// The bytes of the words.
pub(crate) fn to_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().map(|word| (*word as usize).to_ne_bytes()).collect::<Vec<_>>().into_flattened()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_bytes_undo_each_other() {
        let words = [1, 0x7fff_fffe, 3];
        let bytes = to_bytes(&words);
        assert_eq!((bytes.len(), from_bytes(&bytes)), (3 * size_of::<usize>(), Some(words)));
        assert_eq!(from_bytes::<2>(&bytes), None);
        assert_eq!(from_bytes::<2>(bytes.get(..bytes.len() - 1).unwrap_or_default()), None);
    }
}
