//! Texts with a bound. The schema and what is cut come from one number: a status the schema refuses could never be written again.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// One `CamelCase` word, for programs.
pub type Word = Text<64>;
/// A sentence for people. Not called `Message`: what `KubeSchema` derives imports kube's own type of that name, and would take it.
pub type Sentence = Text<1024>;
/// A short sentence, or what an object is called with its kind.
pub type Note = Text<512>;
/// Name of something in a cluster that is one label: a namespace, a container.
pub type Name = Text<63>;
/// Name of an object, a person or a program.
pub type LongName = Text<253>;
/// What a container runtime calls an image.
pub type ImageId = Text<1024>;

/// A text of at most `MAX` characters, none of them a control character: see [`bounded_to`]. Only what was read can be longer: an
/// object with it has to be read all the same, and compares as it is stored. It is cut when it is written again.
#[derive(Clone, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Most characters.
    pub const MAX: usize = MAX;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `text` cut to the length of a [`Sentence`].
#[must_use]
pub fn bounded(text: &str) -> String {
    bounded_to(text, Sentence::MAX)
}

/// `text` cut to so many characters, control characters replaced by spaces: text from images, pods and tickets stays text
/// wherever it is printed.
#[must_use]
pub fn bounded_to(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

fn fits(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.contains(char::is_control)
}

impl<const MAX: usize> From<&str> for Text<MAX> {
    fn from(text: &str) -> Self {
        Self(bounded_to(text, MAX))
    }
}

impl<const MAX: usize> From<String> for Text<MAX> {
    fn from(text: String) -> Self {
        if fits(&text, MAX) { Self(text) } else { Self(bounded_to(&text, MAX)) }
    }
}

impl<const MAX: usize> From<Text<MAX>> for String {
    fn from(text: Text<MAX>) -> Self {
        text.0
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> AsRef<str> for Text<MAX> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> PartialEq<str> for Text<MAX> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl<const MAX: usize> PartialEq<&str> for Text<MAX> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if fits(&self.0, MAX) { serializer.serialize_str(&self.0) } else { serializer.serialize_str(&bounded_to(&self.0, MAX)) }
    }
}

impl<const MAX: usize> JsonSchema for Text<MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Text{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": MAX})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Five = Text<5>;

    #[test]
    fn it_is_cut_at_characters() {
        let cases = [("", ""), ("short", "short"), ("longer", "longe"), ("äöüß€x", "äöüß€"), ("🚀🚀🚀🚀🚀🚀", "🚀🚀🚀🚀🚀")];
        for (text, cut) in cases {
            assert_eq!(Five::from(text), cut);
            assert_eq!(Five::from(text.to_owned()), cut, "whatever it was made of");
        }
        assert_eq!(Sentence::from("x".repeat(2000)).chars().count(), Sentence::MAX);
    }

    #[test]
    fn control_characters_are_spaces() {
        assert_eq!(Five::from("a\nb\u{1b}c"), "a b c");
        assert_eq!(Five::from("a\tb\u{7f}\u{85}".to_owned()), "a b  ");
    }

    #[test]
    fn what_is_stored_is_read_as_it_is_and_written_as_it_must_be() {
        let stored: Five = serde_json::from_value(json!("longer\n")).unwrap();
        assert_eq!(stored, "longer\n");
        assert_ne!(stored, Five::from("longer\n"), "as it is stored it is another text");
        assert_eq!(serde_json::to_value(&stored).unwrap(), json!("longe"));
        assert_eq!(serde_json::to_value(Five::from("ok")).unwrap(), json!("ok"));
        assert!(serde_json::from_value::<Five>(json!(5)).is_err());
    }

    #[test]
    fn it_is_shown_as_a_text() {
        let text = Five::from("a\"b");
        assert_eq!(text.to_string(), "a\"b");
        assert_eq!(format!("{text:?}"), "\"a\\\"b\"");
        assert_eq!(String::from(text), "a\"b");
    }

    /// As of a `String` with a bound beside it.
    #[test]
    fn its_schema_is_that_of_a_bounded_string() {
        let mut generator = SchemaGenerator::default();
        assert_eq!(generator.subschema_for::<Five>().to_value(), json!({"type": "string", "maxLength": 5}));
        assert_eq!(generator.subschema_for::<Option<Five>>().to_value(), json!({"type": ["string", "null"], "maxLength": 5}));
        assert_eq!(
            generator.subschema_for::<Vec<Five>>().to_value(),
            json!({"type": "array", "items": {"type": "string", "maxLength": 5}})
        );
    }
}
