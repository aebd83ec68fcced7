mod cut_books;
mod cut_consumer;
mod cut_course;
