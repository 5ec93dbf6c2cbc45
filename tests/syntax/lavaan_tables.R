# Parameter tables of lavaan: Rscript lavaan_tables.R QUESTIONS.json ANSWERS.json
#
# A question has a name, a model, the function whose switches apply, and options under lavaan's names. The answer
# has the rows of lavaanify(), or the text of its error.
suppressMessages(library(lavaan))

switches <- c(
  "auto.fix.first", "auto.fix.single", "auto.var", "auto.cov.lv.x", "auto.cov.y", "auto.th", "auto.delta", "auto.efa"
)
all_switches <- setNames(as.list(rep(TRUE, length(switches))), switches)
of_function <- list(
  lavaan = list(),
  sem = c(all_switches, int.ov.free = TRUE, int.lv.free = FALSE),
  cfa = c(all_switches, int.ov.free = TRUE, int.lv.free = FALSE),
  growth = c(all_switches, int.ov.free = FALSE, int.lv.free = TRUE)
)

columns <- c(
  "lhs", "op", "rhs", "user", "block", "free", "ustart", "exo", "label", "plabel", "lower", "upper"
)

answer <- function(question) {
  options <- modifyList(of_function[[question$func]], as.list(question$options))
  # lavaan() does this before it calls lavaanify()
  if (isTRUE(options$std.lv)) options$auto.fix.first <- FALSE
  arguments <- c(list(model = question$model, meanstructure = TRUE, warn = FALSE), options)
  table <- tryCatch(
    suppressWarnings(do.call(lavaanify, arguments)),
    error = function(e) list(error = paste(strwrap(conditionMessage(e), 1e6), collapse = " "))
  )
  if (is.null(table$lhs)) return(table)
  # infinite bounds are no bounds; JSON has no infinity
  number <- function(x) if (is.numeric(x)) ifelse(is.finite(x), x, NA) else x
  as.data.frame(lapply(table[intersect(columns, names(table))], number), check.names = FALSE)
}

files <- commandArgs(trailingOnly = TRUE)
questions <- jsonlite::fromJSON(files[1], simplifyVector = TRUE, simplifyDataFrame = FALSE)
answers <- lapply(questions, answer)
names(answers) <- vapply(questions, function(q) q$name, "")
versions <- list(lavaan = as.character(packageVersion("lavaan")), R = as.character(getRversion()))
jsonlite::write_json(
  list(versions = versions, tables = answers), files[2],
  dataframe = "columns", na = "null", auto_unbox = FALSE, digits = NA
)
