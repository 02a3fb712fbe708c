//! Enums that a person names by a word: in commands, options and files.

/// An enum with a word for each variant; its list and both ways between variant and word come from the rows.
macro_rules! words {
    (
        $(#[$about:meta])*
        $name:ident;
        $(#[$first_doc:meta])* $first:ident: $first_word:literal;
        $($(#[$doc:meta])* $variant:ident: $word:literal;)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $(#[$first_doc])* $first,
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every one of them.
            pub const ALL: [$name; [$first_word, $($word),*].len()] = [$name::$first, $($name::$variant),*];

            /// All words, for a message.
            pub const WORDS: &'static str = concat!($first_word, $(", ", $word),*);

            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self {
                    $name::$first => $first_word,
                    $($name::$variant => $word,)*
                }
            }

            /// The one that a word means.
            pub fn of_word(word: &str) -> Option<$name> {
                $name::ALL.into_iter().find(|one| one.word() == word)
            }
        }
    };
}
pub(crate) use words;
