"""The board pack: a month's figures of one company as a document to be printed and kept."""
