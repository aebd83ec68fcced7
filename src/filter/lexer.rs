use winnow::LocatingSlice;
use winnow::Parser;
use winnow::combinator::alt;
use winnow::combinator::opt;
use winnow::combinator::repeat;
use winnow::error::EmptyError;
use winnow::token::one_of;
use winnow::token::take_while;

use super::FilterError;

type Input<'a> = LocatingSlice<&'a str>;

/// A piece of a filter's text, and where it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token<'a> {
    /// Characters before it, from 0.
    pub(super) at: usize,
    /// Its text.
    pub(super) text: &'a str,
    pub(super) kind: Lexeme,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Lexeme {
    /// A name or a number: letters, digits, underscores, with single dots between; a number may have a minus.
    Word,
    /// Text in quotes, without them and with its escapes resolved.
    Quoted(String),
    /// An operator or a bracket.
    Symbol,
}

const SYMBOLS: [&str; 19] =
    ["&&", "||", "==", "!=", ">=", "<=", "..", ">", "<", "!", "&", "~", "(", ")", "{", "}", ",", "=", "|"];

/// Splits the text of a filter.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, FilterError> {
    let mut input = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    let mut seen = (0, 0);
    loop {
        let skipped: Result<&str, EmptyError> = take_while(0.., |c: char| c.is_whitespace()).parse_next(&mut input);
        if skipped.is_err() || input.is_empty() {
            return Ok(tokens);
        }
        let begin = text.len() - input.len();
        // Columns are counted in characters, each of them once.
        let at = seen.1 + text.get(seen.0..begin).unwrap_or_default().chars().count();
        seen = (begin, at);
        let token: Result<(Lexeme, std::ops::Range<usize>), EmptyError> =
            alt((quoted.map(Lexeme::Quoted), word.value(Lexeme::Word), symbol.value(Lexeme::Symbol)))
                .with_span()
                .parse_next(&mut input);
        let Ok((kind, span)) = token else {
            let rest = text.get(begin..).unwrap_or_default();
            let (expected, found) = match rest.chars().next() {
                Some('"') => (
                    "the end of the quoted text",
                    "the end of the filter, or an escape that is none of \\\" \\\\ \\n \\r \\t".to_owned(),
                ),
                c => ("a field, an operator or a value", format!("{:?}", c.unwrap_or_default())),
            };
            return Err(FilterError::new(at, expected, found));
        };
        tokens.push(Token { at, text: text.get(span).unwrap_or_default(), kind });
    }
}

fn word<'a>(input: &mut Input<'a>) -> Result<&'a str, EmptyError> {
    let part = || take_while(1.., |c: char| c.is_ascii_alphanumeric() || c == '_');
    let dotted = ('.', part()).void();
    (opt('-'), part(), repeat::<_, _, (), _, _>(0.., dotted)).take().parse_next(input)
}

fn quoted(input: &mut Input<'_>) -> Result<String, EmptyError> {
    let plain = take_while(1.., |c| c != '"' && c != '\\');
    let escape = ('\\', one_of(['"', '\\', 'n', 'r', 't'])).map(|(_, c)| match c {
        'n' => "\n",
        'r' => "\r",
        't' => "\t",
        '\\' => "\\",
        _ => "\"",
    });
    let parts = repeat(0.., alt((plain, escape))).fold(String::new, |mut text, part| {
        text.push_str(part);
        text
    });
    ('"', parts, '"').map(|(_, text, _)| text).parse_next(input)
}

fn symbol<'a>(input: &mut Input<'a>) -> Result<&'a str, EmptyError> {
    let mut symbol = SYMBOLS.iter().find(|symbol| input.starts_with(**symbol)).copied().unwrap_or_default();
    if symbol.is_empty() { Err(EmptyError) } else { symbol.parse_next(input) }
}
