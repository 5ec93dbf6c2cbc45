"""Reports: records in, text, HTML or Markdown out; nothing here fits a model or writes a file."""
