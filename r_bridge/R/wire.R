# R values as plain lists of text, counts and raw bytes, which every way between R and Python carries unharmed, and
# back. Numbers travel as 64-bit floats, so that NA needs no sentinel; text as codes into its distinct values.

pack <- function(value) {
  if (is.null(value)) return(list(type = "null"))
  if (is.data.frame(value)) return(pack_frame(value))
  if (is.list(value)) {
    return(list(type = "list", names = texts_out(names(value)), items = lapply(unname(as.list(value)), pack)))
  }
  packed <- pack_vector(value)
  shape <- dim(value)
  if (is.null(shape)) {
    packed$names <- texts_out(names(value))
  } else {
    packed$shape <- as.list(as.integer(shape))
    packed$rows <- texts_out(rownames(value))
    packed$columns <- texts_out(colnames(value))
  }
  packed
}

pack_frame <- function(frame) {
  columns <- unclass(frame)
  packed <- lapply(seq_along(columns), function(j) {
    tryCatch(pack_vector(plain_column(columns[[j]])), error = function(e) {
      stop("column ", dQuote(names(columns)[[j]], FALSE), ": ", conditionMessage(e), call. = FALSE)
    })
  })
  automatic <- .row_names_info(frame) < 0L
  list(type = "frame", n = nrow(frame), names = texts_out(names(columns)), columns = packed,
       row_names = if (automatic) NULL else texts_out(rownames(frame)),
       notes = texts_out(attr(frame, "fosa.notes", exact = TRUE)),
       index = if (!is.null(attr(frame, "fosa.index", exact = TRUE))) pack_frame(attr(frame, "fosa.index")))
}

plain_column <- function(column) {
  if (!is.null(dim(column))) stop("a matrix or table within a data frame cannot be handed to Python")
  column
}

pack_vector <- function(value) {
  if (inherits(value, "integer64")) stop("64-bit integers (bit64) cannot be handed over without loss")
  if (is.factor(value)) {
    return(list(type = "vector", kind = "factor", n = length(value), data = doubles_out(as.integer(value)),
                levels = texts_out(levels(value)), ordered = is.ordered(value)))
  }
  if (inherits(value, "Date")) return(numbers_out("date", value))
  if (inherits(value, "POSIXlt")) value <- as.POSIXct(value)
  if (inherits(value, "POSIXct")) return(c(numbers_out("datetime", value), tz = zone_of(value)))
  if (inherits(value, "difftime")) {
    units(value) <- "secs"
    return(numbers_out("timedelta", value))
  }
  if (is.logical(value)) return(numbers_out("logical", value))
  if (is.integer(value)) return(numbers_out("integer", value))
  if (is.double(value)) return(numbers_out("double", value))
  if (is.character(value)) {
    levels <- unique(as.character(value)[!is.na(value)])
    return(list(type = "vector", kind = "character", n = length(value), levels = texts_out(levels),
                data = doubles_out(match(value, levels))))
  }
  stop("an object of class ", paste(class(value), collapse = "/"), " cannot be handed to Python")
}

zone_of <- function(value) {
  zone <- attr(value, "tzone", exact = TRUE)
  if (is.null(zone)) "" else zone[[1L]]
}

numbers_out <- function(kind, value) {
  list(type = "vector", kind = kind, n = length(value), data = doubles_out(value))
}

doubles_out <- function(value) writeBin(as.double(value), raw(), size = 8L, endian = "little")

# One text and several are told apart by a list.
texts_out <- function(texts) if (is.null(texts)) NULL else as.list(enc2utf8(as.character(texts)))

unpack <- function(packed) {
  switch(packed$type,
    null = NULL,
    frame = unpack_frame(packed),
    list = {
      values <- lapply(packed$items, unpack)
      if (!is.null(packed$names)) names(values) <- texts_in(packed$names)
      values
    },
    vector = {
      value <- unpack_vector(packed)
      if (!is.null(packed$names)) names(value) <- texts_in(packed$names)
      if (!is.null(packed$shape)) {
        dim(value) <- as.integer(unlist(packed$shape))
        if (!is.null(packed$rows)) rownames(value) <- texts_in(packed$rows)
        if (!is.null(packed$columns)) colnames(value) <- texts_in(packed$columns)
      }
      value
    },
    stop("unknown type ", packed$type)
  )
}

# Put together by hand: data.frame() would change names that are no names to R.
unpack_frame <- function(packed) {
  columns <- lapply(packed$columns, unpack_vector)
  rows <- if (is.null(packed$row_names)) .set_row_names(packed$n) else texts_in(packed$row_names)
  frame <- structure(columns, names = texts_in(packed$names), row.names = rows, class = "data.frame")
  if (!is.null(packed$notes)) attr(frame, "fosa.notes") <- texts_in(packed$notes)
  if (!is.null(packed$index)) attr(frame, "fosa.index") <- unpack_frame(packed$index)
  frame
}

unpack_vector <- function(packed) {
  values <- readBin(as.raw(packed$data), "double", packed$n, size = 8L, endian = "little")
  values[is.nan(values)] <- NA_real_
  switch(packed$kind,
    double = values,
    integer = as.integer(values),
    logical = as.logical(values),
    character = texts_in(packed$levels)[as.integer(values)],
    factor = structure(as.integer(values), levels = texts_in(packed$levels),
                       class = if (isTRUE(packed$ordered)) c("ordered", "factor") else "factor"),
    date = structure(values, class = "Date"),
    datetime = structure(values, class = c("POSIXct", "POSIXt"), tzone = packed$tz),
    timedelta = structure(values, class = "difftime", units = "secs"),
    stop("unknown kind of vector ", packed$kind)
  )
}

texts_in <- function(texts) {
  texts <- as.character(unlist(texts))
  Encoding(texts) <- "UTF-8"
  texts
}
