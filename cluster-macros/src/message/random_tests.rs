//! Random types: any single change of one makes the derive write another shape, and what is no change does not.
//!
//! That another shape has another fingerprint is tested where fingerprints are made, in `cluster-rt`.

use proc_macro2::TokenStream;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::expand;

const TYPES: [&str; 6] =
    ["u32", "String", "Vec<u8>", "Option<Article>", "HashMap<String, (u8, Article)>", "[u8; 4]"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Named,
    Tuple,
    Unit,
}

const FORMS: [Form; 3] = [Form::Named, Form::Tuple, Form::Unit];

#[derive(Clone, Debug)]
struct Field {
    name: String,
    ty: &'static str,
}

/// A variant of an enum; of a struct, all there is.
#[derive(Clone, Debug)]
struct Part {
    name: String,
    form: Form,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Item {
    is_enum: bool,
    parts: Vec<Part>,
}

fn parts() -> impl Strategy<Value = Part> {
    let types = prop::sample::select(TYPES.to_vec());
    (prop::sample::select(FORMS.to_vec()), vec(types, 0..6)).prop_map(|(form, types)| {
        let count = if form == Form::Unit { 0 } else { types.len() };
        let fields = types.into_iter().take(count).enumerate();
        let fields = fields.map(|(at, ty)| Field { name: format!("field_{at}"), ty }).collect();
        Part { name: String::new(), form, fields }
    })
}

fn items() -> impl Strategy<Value = Item> {
    (any::<bool>(), vec(parts(), 1..6)).prop_map(|(is_enum, mut parts)| {
        parts.truncate(if is_enum { usize::MAX } else { 1 });
        for (at, part) in parts.iter_mut().enumerate() {
            part.name = format!("Variant{at}");
        }
        Item { is_enum, parts }
    })
}

/// The item as source; `noise` goes where it changes nothing.
fn source(item: &Item, noise: &str) -> TokenStream {
    let body = |part: &Part| {
        let fields = part.fields.iter().map(|Field { name, ty }| match part.form {
            Form::Named => format!("{noise} {name}: {ty},"),
            _ => format!("{noise} {ty},"),
        });
        let fields: String = fields.collect();
        match part.form {
            Form::Named => format!("{{ {fields} }}"),
            Form::Tuple => format!("({fields})"),
            Form::Unit => String::new(),
        }
    };
    let text = if item.is_enum {
        let variant = |part: &Part| format!("{noise} {}{},", part.name, body(part));
        format!("{noise} enum News {{ {} }}", item.parts.iter().map(variant).collect::<String>())
    } else {
        let end = if item.parts[0].form == Form::Named { "" } else { ";" };
        format!("{noise} struct News {}{end}", body(&item.parts[0]))
    };
    text.parse().expect("the item is made of tokens")
}

fn expanded(item: &Item, noise: &str) -> String {
    let text = expand(source(item, noise)).to_string();
    assert!(!text.contains("compile_error"), "{text}");
    text
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Kind,
    PartAdded(Index),
    PartRemoved(Index),
    PartRenamed(Index),
    PartsSwapped(Index, Index),
    Form(Index, Index),
    FieldAdded(Index, Index),
    FieldRemoved(Index, Index),
    FieldRenamed(Index, Index),
    FieldType(Index, Index, Index),
    FieldsSwapped(Index, Index, Index),
}

fn changes() -> impl Strategy<Value = Change> {
    let one = any::<Index>;
    let two = any::<(Index, Index)>;
    let three = any::<(Index, Index, Index)>;
    prop_oneof![
        Just(Change::Kind),
        one().prop_map(Change::PartAdded),
        one().prop_map(Change::PartRemoved),
        one().prop_map(Change::PartRenamed),
        two().prop_map(|(a, b)| Change::PartsSwapped(a, b)),
        two().prop_map(|(part, form)| Change::Form(part, form)),
        two().prop_map(|(part, at)| Change::FieldAdded(part, at)),
        two().prop_map(|(part, at)| Change::FieldRemoved(part, at)),
        two().prop_map(|(part, at)| Change::FieldRenamed(part, at)),
        three().prop_map(|(part, at, ty)| Change::FieldType(part, at, ty)),
        three().prop_map(|(part, a, b)| Change::FieldsSwapped(part, a, b)),
    ]
}

/// Changes the item; false if there is nothing that this would change.
fn make(change: Change, item: &mut Item) -> bool {
    let count = item.parts.len();
    match change {
        Change::Kind if count == 1 => item.is_enum = !item.is_enum,
        Change::PartAdded(at) if item.is_enum => {
            let part = Part { name: "Added".to_owned(), form: Form::Unit, fields: Vec::new() };
            item.parts.insert(at.index(count + 1), part);
        }
        Change::PartRemoved(at) if item.is_enum => drop(item.parts.remove(at.index(count))),
        Change::PartRenamed(at) if item.is_enum => {
            at.get_mut(&mut item.parts).name = "Renamed".to_owned();
        }
        Change::PartsSwapped(a, b) if item.is_enum => {
            item.parts.swap(a.index(count), b.index(count));
            return a.index(count) != b.index(count);
        }
        Change::Form(part, form) => {
            let part = part.get_mut(&mut item.parts);
            let form = *form.get(&FORMS);
            if form == Form::Unit {
                part.fields.clear();
            }
            return std::mem::replace(&mut part.form, form) != form;
        }
        Change::FieldAdded(part, at) => {
            let part = part.get_mut(&mut item.parts);
            let field = Field { name: "added".to_owned(), ty: "bool" };
            part.fields.insert(at.index(part.fields.len() + 1), field);
            return part.form != Form::Unit;
        }
        Change::FieldRemoved(part, at) => {
            let fields = &mut part.get_mut(&mut item.parts).fields;
            return !fields.is_empty() && !fields.remove(at.index(fields.len())).ty.is_empty();
        }
        Change::FieldRenamed(part, at) => {
            let part = part.get_mut(&mut item.parts);
            let named = part.form == Form::Named && !part.fields.is_empty();
            if named {
                at.get_mut(&mut part.fields).name = "renamed".to_owned();
            }
            return named;
        }
        Change::FieldType(part, at, ty) => {
            let fields = &mut part.get_mut(&mut item.parts).fields;
            let ty = *ty.get(&TYPES);
            return !fields.is_empty() && std::mem::replace(&mut at.get_mut(fields).ty, ty) != ty;
        }
        Change::FieldsSwapped(part, a, b) => {
            let part = part.get_mut(&mut item.parts);
            let count = part.fields.len();
            if count == 0 {
                return false;
            }
            let (a, b) = (a.index(count), b.index(count));
            part.fields.swap(a, b);
            return a != b && (part.form == Form::Named || part.fields[a].ty != part.fields[b].ty);
        }
        _ => return false,
    }
    true
}

proptest! {
    #[test]
    fn any_single_change_is_another_shape(item in items(), change in changes()) {
        let mut changed = item.clone();
        prop_assume!(make(change, &mut changed));
        prop_assert_ne!(expanded(&changed, ""), expanded(&item, ""));
    }

    #[test]
    fn what_serde_does_not_see_changes_nothing(item in items()) {
        for noise in ["/// Documentation.\n", "#[allow(dead_code)]", "#[cfg_attr(x, y = 1)] #[doc = \"z\"]"] {
            prop_assert_eq!(expanded(&item, noise), expanded(&item, ""));
        }
    }
}
