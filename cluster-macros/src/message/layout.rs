//! What decides how the bytes of one type are read: its own names as text, and the types it nests.
//!
//! Invariant: the text says of every field whether its type is among the nested ones, so that two
//! layouts with the same text and the same nested shapes are read alike.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Fields, Path, Type, Variant};

use super::field_types::{StandIns, opaque_field, spelled};
use super::given::{Given, is_opaque, refuse_on_variant};
use super::serde_options::SerdeOptions;
use crate::errors::Errors;

/// The layout of one type; empty beside an error.
#[derive(Default)]
pub(super) struct Layout {
    /// One line for each thing that counts, in the order of the source.
    pub(super) text: String,
    /// The types of the fields that are sent, with a stand-in for each opaque one.
    pub(super) nested: Vec<Type>,
}

impl Layout {
    pub(super) fn read(input: &DeriveInput, given: &mut Given, errors: &mut Errors) -> Self {
        let krate = given.krate();
        let options = SerdeOptions::read(&input.attrs, errors);
        let mut reader = Reader { layout: Self::default(), krate, opaque: &mut given.opaque };
        reader.serde(&options);
        // With `into` another type is written in place of this one.
        let replaced = options.into.is_some();
        for ty in options.into.into_iter().chain(options.from) {
            reader.nest(ty);
        }
        if !replaced {
            match &input.data {
                Data::Struct(data) => reader.fields(&data.fields, errors),
                Data::Enum(data) => reader.variants(data.variants.iter(), errors),
                Data::Union(_) => {}
            }
        }
        reader.layout
    }
}

struct Reader<'a> {
    layout: Layout,
    krate: Path,
    opaque: &'a mut StandIns,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        self.layout.text.push_str(line);
        self.layout.text.push('\n');
    }

    fn serde(&mut self, options: &SerdeOptions) {
        for option in &options.spelled {
            self.line(&format!("serde {option}"));
        }
    }

    fn nest(&mut self, ty: Type) {
        let ty = self.opaque.replace_in(ty, &self.krate);
        self.layout.nested.push(ty);
    }

    fn variants<'v>(
        &mut self,
        variants: impl DoubleEndedIterator<Item = &'v Variant> + Clone,
        errors: &mut Errors,
    ) {
        self.line("enum");
        let mut skipped: Vec<Ident> = Vec::new();
        for variant in variants {
            refuse_on_variant(&variant.attrs, errors);
            self.line(&format!("variant {}", variant.ident.unraw()));
            // Serde's own derive does not send it, but those that do stand beside it.
            if let Some((_, value)) = &variant.discriminant {
                self.line(&format!("value {}", spelled(value.to_token_stream())));
            }
            let options = SerdeOptions::read(&variant.attrs, errors);
            self.serde(&options);
            if let Some(skip) = options.skips_variant() {
                skipped.push(skip.clone());
                continue;
            }
            for skip in skipped.drain(..) {
                errors.at(
                    &skip,
                    format_args!(
                        "`{skip}` on a variant before others is not possible in a message: variants \
                         are told by their position, and those after it would be misread; move it \
                         to the end of the enum"
                    ),
                );
            }
            self.fields(&variant.fields, errors);
        }
    }

    fn fields(&mut self, fields: &Fields, errors: &mut Errors) {
        self.line(match fields {
            Fields::Named(_) => "named fields",
            Fields::Unnamed(_) => "tuple of fields",
            Fields::Unit => "no fields",
        });
        for (position, field) in fields.iter().enumerate() {
            let name = field
                .ident
                .as_ref()
                .map_or_else(|| position.to_string(), |name| name.unraw().to_string());
            self.line(&format!("field {name}"));
            let options = SerdeOptions::read(&field.attrs, errors);
            self.serde(&options);
            let opaque = is_opaque(&field.attrs, errors);
            if options.skips_field(errors) {
                continue;
            }
            if opaque {
                let stand_in = opaque_field(&field.ty, &self.krate);
                self.layout.nested.push(stand_in);
            } else {
                self.nest(field.ty.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(item: &DeriveInput) -> Layout {
        let mut errors = Errors::new();
        let mut given = Given::read(&item.attrs, &mut errors);
        let layout = Layout::read(item, &mut given, &mut errors);
        let reports = errors.into_compile_errors();
        assert!(reports.is_empty(), "{reports}");
        layout
    }

    #[test]
    fn one_line_for_each_thing_that_counts() {
        let layout = layout(&syn::parse_quote! {
            /// Documentation does not.
            #[serde(rename_all="camelCase",deny_unknown_fields)]
            pub enum News {
                Rate(u32),
                #[serde(rename(serialize = "n"))]
                Notice { r#type: String, #[serde(skip)] cache: Cache },
                Stop = 1 + 2,
            }
        });
        let lines = [
            "serde rename_all = \"camelCase\"",
            "serde deny_unknown_fields",
            "enum",
            "variant Rate",
            "tuple of fields",
            "field 0",
            "variant Notice",
            "serde rename ( serialize = \"n\" )",
            "named fields",
            "field type",
            "field cache",
            "serde skip",
            "variant Stop",
            "value 1 + 2",
            "no fields",
        ];
        assert_eq!(layout.text.lines().collect::<Vec<_>>(), lines);
        assert_eq!(layout.nested.len(), 2);
    }

    #[test]
    fn what_is_written_in_place_of_a_type_is_all_that_counts() {
        let layout = layout(&syn::parse_quote! {
            #[serde(into = "Raw<u8>", try_from = "Raw<u8>")]
            struct Percent { not_sent: Cache }
        });
        assert!(!layout.text.contains("field"), "{}", layout.text);
        assert_eq!(layout.nested.len(), 2);
    }
}
