mod cut_answers;
mod cut_books;
mod cut_consumer;
mod cut_course;
mod expectations;
mod plain_closes;
mod runner;
mod triggers;
