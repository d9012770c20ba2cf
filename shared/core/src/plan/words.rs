//! "Did you mean": the nearest of a few known words.

/// The candidate that `word` is most likely a slip of, if any is near enough.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    // A longer text is no slip of a field's name, and comparing it would cost its length squared.
    if word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= slips(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `voteMaxAge`, `vote-max-age` and `vote_max_age` are one word.
fn plain(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

fn distance(word: &str, candidate: &str) -> usize {
    strsim::osa_distance(word, &plain(candidate))
}

const fn slips(candidate: &str) -> usize {
    match candidate.len() {
        0..=3 => 1,
        4..=8 => 2,
        _ => 3,
    }
}
