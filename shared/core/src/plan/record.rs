//! The format, written once: each record of a plan is a table of its fields, and from that table come the type, its
//! reader, its writer and its part of the JSON Schema.
//!
//! A row says the field's name, its type, whether it must be there, how one value is read, and an example to show to
//! whoever left it out. Nothing here knows a field, and nothing here compares two of them.

use super::node::{Reader, Value};
use super::schema::{Definitions, Json};
use super::units::Unit;
use super::write::Out;
use std::marker::PhantomData;

/// How one value is read, written and described.
pub(super) trait Codec {
    type Read;
    /// `None` once the reader was told what is wrong.
    fn read(&self, reader: &mut Reader, value: &Value<'_>) -> Option<Self::Read>;
    fn show(&self, value: &Self::Read) -> Out;
    fn schema(&self, definitions: &mut Definitions) -> Json;
}

/// A record of the plan, made by [`record!`].
pub(super) trait Fields: Sized {
    fn read(reader: &mut Reader, value: &Value<'_>) -> Option<Self>;
    fn show(&self) -> Out;
    fn schema(definitions: &mut Definitions) -> Json;
}

impl<T> Codec for Unit<T> {
    type Read = T;

    fn read(&self, reader: &mut Reader, value: &Value<'_>) -> Option<T> {
        reader.unit(value, self)
    }

    fn show(&self, value: &T) -> Out {
        Out::scalar((self.show)(value), self.shape)
    }

    fn schema(&self, _: &mut Definitions) -> Json {
        self.look.schema(self.expected)
    }
}

/// A nested record.
pub(super) struct Rec<T>(PhantomData<T>);

pub(super) const fn rec<T>() -> Rec<T> {
    Rec(PhantomData)
}

impl<T: Fields> Codec for Rec<T> {
    type Read = T;

    fn read(&self, reader: &mut Reader, value: &Value<'_>) -> Option<T> {
        T::read(reader, value)
    }

    fn show(&self, value: &T) -> Out {
        value.show()
    }

    fn schema(&self, definitions: &mut Definitions) -> Json {
        T::schema(definitions)
    }
}

/// A list, `expected` as in "expected a list of stores".
pub(super) struct List<C> {
    expected: &'static str,
    of: C,
    /// Whether an empty one is refused.
    filled: bool,
}

/// A list that may be empty.
pub(super) const fn list<C>(expected: &'static str, of: C) -> List<C> {
    List { expected, of, filled: false }
}

/// A list of at least one.
pub(super) const fn many<C>(expected: &'static str, of: C) -> List<C> {
    List { expected, of, filled: true }
}

impl<C: Codec> Codec for List<C> {
    type Read = Vec<C::Read>;

    fn read(&self, reader: &mut Reader, value: &Value<'_>) -> Option<Self::Read> {
        let entries = reader.list(value, self.expected, |reader, entry| self.of.read(reader, entry));
        if self.filled { reader.filled(value, entries) } else { entries }
    }

    fn show(&self, value: &Self::Read) -> Out {
        Out::List(value.iter().map(|entry| self.of.show(entry)).collect())
    }

    fn schema(&self, definitions: &mut Definitions) -> Json {
        Json::list(&self.of.schema(definitions), self.filled)
    }
}

/// The schema of a field of type `T`; the type only tells the compiler which record is meant.
pub(super) fn schema_of<C: Codec>(codec: &C, definitions: &mut Definitions, _: PhantomData<C::Read>) -> Json {
    codec.schema(definitions)
}

/// The same of a field that may be absent.
pub(super) fn schema_of_may<C: Codec>(
    codec: &C,
    definitions: &mut Definitions,
    _: PhantomData<Option<C::Read>>,
) -> Json {
    codec.schema(definitions)
}

/// Declares a record of the plan.
///
/// A row is `name: Type = presence(codec, "example");`, where presence is one of
/// - `need`: must be there;
/// - `may`: `Option`, absent is `None`;
/// - `any`: a list, absent is empty;
/// - `or(default, ..)`: absent is `default`, and the default is not written.
///
/// `name as "key"` is for a field that the file calls otherwise.
macro_rules! record {
    (
        $(#[doc = $about:literal])*
        $(#[derive($($derive:ident),+)])?
        $name:ident, $what:literal {
            $( $(#[doc = $doc:literal])* $field:ident $(as $key:literal)? : $type:ty = $how:ident ( $($row:tt)* ); )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, $($($derive,)+)? serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl $crate::plan::record::Fields for $name {
            fn read(
                reader: &mut $crate::plan::node::Reader,
                value: &$crate::plan::node::Value<'_>,
            ) -> Option<Self> {
                let mut r = reader.record(value, $what)?;
                $( let $field = record!(@read r, record!(@key $field $($key)?), $how ( $($row)* )); )*
                r.close();
                Some(Self { $( $field: $field?, )* })
            }

            fn show(&self) -> $crate::plan::write::Out {
                let fields = [$( record!(@show record!(@key $field $($key)?), &self.$field, $how ( $($row)* )), )*];
                $crate::plan::write::Out::Record(fields.into_iter().flatten().collect())
            }

            fn schema(definitions: &mut $crate::plan::schema::Definitions) -> $crate::plan::schema::Json {
                definitions.define(stringify!($name), concat!($($about),*), |definitions| vec![
                    $( record!(
                        @schema definitions, record!(@key $field $($key)?), concat!($($doc),*), $type, $how ( $($row)* )
                    ), )*
                ])
            }
        }
    };

    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };

    (@read $r:ident, $key:expr, need($codec:expr, $example:expr)) => {
        $r.need($key, $example, |reader, value| $crate::plan::record::Codec::read(&$codec, reader, value))
    };
    (@read $r:ident, $key:expr, may($codec:expr, $example:expr)) => {
        $r.may($key, $example, |reader, value| $crate::plan::record::Codec::read(&$codec, reader, value))
    };
    (@read $r:ident, $key:expr, any($codec:expr, $example:expr)) => {
        record!(@read $r, $key, may($codec, $example)).map(Option::unwrap_or_default)
    };
    (@read $r:ident, $key:expr, or($default:expr, $codec:expr, $example:expr)) => {
        record!(@read $r, $key, may($codec, $example)).map(|given| given.unwrap_or($default))
    };

    (@show $key:expr, $value:expr, need($codec:expr, $example:expr)) => {
        Some(($key, $crate::plan::record::Codec::show(&$codec, $value)))
    };
    (@show $key:expr, $value:expr, may($codec:expr, $example:expr)) => {
        $value.as_ref().map(|value| ($key, $crate::plan::record::Codec::show(&$codec, value)))
    };
    (@show $key:expr, $value:expr, any($codec:expr, $example:expr)) => {
        (!$value.is_empty()).then(|| ($key, $crate::plan::record::Codec::show(&$codec, $value)))
    };
    (@show $key:expr, $value:expr, or($default:expr, $codec:expr, $example:expr)) => {
        (*$value != $default).then(|| ($key, $crate::plan::record::Codec::show(&$codec, $value)))
    };

    (@schema $definitions:ident, $key:expr, $doc:expr, $type:ty, need($codec:expr, $example:expr)) => {
        record!(@field $definitions, $key, $doc, $type, true, schema_of, $codec)
    };
    (@schema $definitions:ident, $key:expr, $doc:expr, $type:ty, may($codec:expr, $example:expr)) => {
        record!(@field $definitions, $key, $doc, $type, false, schema_of_may, $codec)
    };
    (@schema $definitions:ident, $key:expr, $doc:expr, $type:ty, any($codec:expr, $example:expr)) => {
        record!(@field $definitions, $key, $doc, $type, false, schema_of, $codec)
    };
    (@schema $definitions:ident, $key:expr, $doc:expr, $type:ty, or($default:expr, $codec:expr, $example:expr)) => {
        record!(@field $definitions, $key, $doc, $type, false, schema_of, $codec)
    };
    (@field $definitions:ident, $key:expr, $doc:expr, $type:ty, $required:literal, $schema_of:ident, $codec:expr) => {{
        let of = std::marker::PhantomData::<$type>;
        let schema = $crate::plan::record::$schema_of(&$codec, $definitions, of);
        $crate::plan::schema::Field::new($key, $doc, $required, schema)
    }};
}

pub(super) use record;
