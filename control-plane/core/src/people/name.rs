//! Ids from names.

use crate::ids::Participant;
use std::collections::{BTreeMap, BTreeSet};

/// Makes an id from a name, unlike all in `taken`, and takes it. `numbers` remembers how many of each there are.
pub(super) fn id_from_name(
    name: &str,
    taken: &mut BTreeSet<Participant>,
    numbers: &mut BTreeMap<String, u32>,
) -> Participant {
    let slug = slug(name);
    let number = numbers.entry(slug.clone()).or_insert(0);
    loop {
        *number += 1;
        let text = if *number == 1 {
            slug.clone()
        } else {
            format!("{slug}-{number}")
        };
        let id = Participant::new(&text).expect("a slug with a number is a slug");
        if taken.insert(id.clone()) {
            return id;
        }
    }
}

/// Small letters, digits, and a hyphen for anything between; `participant` if nothing is left.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars() {
        match fold(character) {
            Some(letters) => slug.push_str(letters),
            None if character.is_ascii_alphanumeric() => slug.push(character.to_ascii_lowercase()),
            None if character.is_alphanumeric() => {}
            None if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            None => {}
        }
    }
    slug.truncate(MAX_SLUG);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "participant".to_owned()
    } else {
        slug.to_owned()
    }
}

/// Latin letters with marks, without them.
fn fold(character: char) -> Option<&'static str> {
    let folded = match character.to_lowercase().next()? {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ả' | 'ạ' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' | 'ế' | 'ệ' => "e",
        'ğ' | 'ģ' => "g",
        'ì'..='ï' | 'ī' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ł' | 'ļ' | 'ľ' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ő' | 'ơ' => "o",
        'œ' => "oe",
        'ř' | 'ŕ' => "r",
        'ś' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ť' | 'ţ' | 'ț' => "t",
        'þ' => "th",
        'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ư' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    };
    Some(folded)
}

/// Leaves room for a number.
const MAX_SLUG: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_ids_and_namesakes_get_numbers() {
        let mut taken: BTreeSet<Participant> = [Participant::new("ann-2").unwrap()].into();
        let mut numbers = BTreeMap::new();
        let mut id = |name: &str| id_from_name(name, &mut taken, &mut numbers).to_string();
        assert_eq!(id("Ann"), "ann");
        assert_eq!(id("ANN"), "ann-3");
        assert_eq!(id("Zoé  Müller-Łoś, Dr."), "zoe-muller-los-dr");
        assert_eq!(id("王小明"), "participant");
        assert_eq!(id("محمد"), "participant-2");
        assert_eq!(id(&"x ".repeat(80)).len(), 49);
    }
}
