# Multiple imputations as objects of mice.

# long: the incomplete table, as .imp = 0, and the completed ones below each other; where: cells that were imputed.
mids_of <- function(long, where) {
  attr(long, "fosa.notes") <- attr(long, "fosa.index") <- NULL
  dimnames(where) <- list(NULL, setdiff(names(long), c(".imp", ".id")))
  made <- mice::as.mids(long, where = where)
  # as.mids() notes mice's own methods, by which nothing was imputed here
  made$method[] <- ifelse(colSums(where)[names(made$method)] > 0, "sem", "")
  made
}

tables_of_mids <- function(mids) {
  if (!inherits(mids, "mids")) stop("an object of class ", paste(class(mids), collapse = "/"), " is no mids of mice")
  long <- mice::complete(mids, action = "long", include = TRUE)
  rownames(long) <- NULL
  rows <- rownames(mids$data)
  long$.id <- if (all(grepl("^[0-9]{1,9}$", rows))) as.integer(rows) else rows
  long
}
