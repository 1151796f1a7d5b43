//! Messages, as the JSON that crit makes of them, field by field.

use std::collections::HashSet;

use serde_json::Value;

use super::Change;

/// Fields by which entries are told apart, if no two of a list have the same value.
const KEYS: [&str; 3] = ["id", "pid", "fd"];

/// Compares two whole images.
pub(super) fn compare(left: &Value, right: &Value, report: &mut impl FnMut(String, Change)) {
    let entries = |image: &Value| image.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
    let (left, right) = (entries(left), entries(right));
    match (left.as_slice(), right.as_slice()) {
        ([left], [right]) => fields("", left, right, report),
        (left, right) => lists("", left, right, report),
    }
}

/// Two lists: their elements by a field that identifies them, else by their place.
fn lists(path: &str, left: &[Value], right: &[Value], report: &mut impl FnMut(String, Change)) {
    let key = KEYS.into_iter().find(|key| identifies(key, left) && identifies(key, right));
    let name =
        |list: &[Value], index: usize| match key.and_then(|key| Some((key, list.get(index)?.get(key)?))) {
            Some((key, value)) => format!("{key} {value}"),
            None => index.to_string(),
        };
    let names = |list: &[Value]| (0..list.len()).map(|index| name(list, index)).collect::<Vec<_>>();
    let (ours, theirs) = (names(left), names(right));
    let place = |name: &str| if path.is_empty() { format!("{name}:") } else { format!("{path}[{name}]") };
    for (name, value) in ours.iter().zip(left) {
        match theirs.iter().position(|other| other == name).and_then(|index| right.get(index)) {
            Some(other) => values(&place(name), value, other, report),
            None => report(place(name), Change::Removed { left: Some(value.clone()) }),
        }
    }
    let known: HashSet<&String> = ours.iter().collect();
    for (name, value) in theirs.iter().zip(right).filter(|(name, _)| !known.contains(name)) {
        report(place(name), Change::Added { right: Some(value.clone()) });
    }
}

/// Whether every element has the field, each with another value.
fn identifies(key: &str, list: &[Value]) -> bool {
    let mut seen = HashSet::new();
    list.iter().all(|element| element.get(key).is_some_and(|value| seen.insert(value.to_string())))
}

fn fields(path: &str, left: &Value, right: &Value, report: &mut impl FnMut(String, Change)) {
    let (Some(ours), Some(theirs)) = (left.as_object(), right.as_object()) else {
        return values(path, left, right, report);
    };
    let place = |name: &str| match path {
        "" => name.to_owned(),
        entry if entry.ends_with(':') => format!("{entry} {name}"),
        outer => format!("{outer}.{name}"),
    };
    for (name, value) in ours {
        match theirs.get(name) {
            Some(other) => values(&place(name), value, other, report),
            None => report(place(name), Change::Removed { left: Some(value.clone()) }),
        }
    }
    for (name, value) in theirs.iter().filter(|(name, _)| !ours.contains_key(*name)) {
        report(place(name), Change::Added { right: Some(value.clone()) });
    }
}

fn values(path: &str, left: &Value, right: &Value, report: &mut impl FnMut(String, Change)) {
    match (left, right) {
        (left, right) if left == right => {}
        (Value::Object(_), Value::Object(_)) => fields(path, left, right, report),
        (Value::Array(left), Value::Array(right)) => lists(path, left, right, report),
        (left, right) => {
            report(path.to_owned(), Change::Value { left: left.clone(), right: right.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(left: Value, right: Value) -> Vec<(String, Change)> {
        let mut found = Vec::new();
        let image = |entries| json!({ "magic": "FILES", "entries": entries });
        compare(&image(left), &image(right), &mut |place, change| found.push((place, change)));
        found
    }

    fn value(left: impl Into<Value>, right: impl Into<Value>) -> Change {
        Change::Value { left: left.into(), right: right.into() }
    }

    #[test]
    fn fields_of_the_only_entry_are_named_alone() {
        let left = json!([{ "tc": { "comm": "a", "nice": 1 }, "gone": true, "mask": [1, 2] }]);
        let right = json!([{ "tc": { "comm": "b", "nice": 1, "new": 0 }, "mask": [1, 3, 4] }]);
        let expected = [
            ("tc.comm".to_owned(), value("a", "b")),
            ("tc.new".to_owned(), Change::Added { right: Some(0.into()) }),
            ("gone".to_owned(), Change::Removed { left: Some(true.into()) }),
            ("mask[1]".to_owned(), value(2, 3)),
            ("mask[2]".to_owned(), Change::Added { right: Some(4.into()) }),
        ];
        assert_eq!(found(left, right), expected);
    }

    #[test]
    fn entries_are_compared_with_their_namesakes() {
        let left = json!([{ "id": 1, "pos": 0 }, { "id": 2, "pos": 5 }]);
        let right = json!([{ "id": 3, "pos": 0 }, { "id": 2, "pos": 6 }]);
        let expected = [
            ("id 1:".to_owned(), Change::Removed { left: Some(json!({ "id": 1, "pos": 0 })) }),
            ("id 2: pos".to_owned(), value(5, 6)),
            ("id 3:".to_owned(), Change::Added { right: Some(json!({ "id": 3, "pos": 0 })) }),
        ];
        assert_eq!(found(left, right), expected);
    }

    #[test]
    fn entries_whose_numbers_are_not_their_own_are_compared_in_order() {
        let left = json!([{ "id": 1, "x": 0 }, { "id": 1, "x": 1 }]);
        let right = json!([{ "id": 1, "x": 0 }, { "id": 1, "x": 2 }]);
        assert_eq!(found(left, right), [("1: x".to_owned(), value(1, 2))]);
    }
}
