# What lavaan says of residuals and of single rows: reads request.json and data.csv from the folder given, writes
# result.json there. Of single rows it keeps the first `rows` of every group.

suppressPackageStartupMessages(library(lavaan))

RESIDUALS <- c("raw", "cor", "cor.bentler", "standardized", "standardized.mplus", "normalized")

main <- function(folder) {
  request <- jsonlite::fromJSON(file.path(folder, "request.json"), simplifyDataFrame = FALSE, simplifyMatrix = FALSE)
  data <- utils::read.csv(file.path(folder, "data.csv"), check.names = FALSE)
  asked <- c(list(model = request$model, data = data), request$options)
  fit <- suppressWarnings(do.call(request$func, asked, envir = asNamespace("lavaan")))
  answer <- suppressWarnings(values_of(fit, request$rows))
  answer$lavaan_version <- jsonlite::unbox(as.character(utils::packageVersion("lavaan")))
  text <- jsonlite::toJSON(answer, digits = I(9), na = "null", null = "null")
  writeLines(text, file.path(folder, "result.json"))
}

values_of <- function(fit, rows) {
  groups <- lavInspect(fit, "ngroups")
  per_group <- function(value) if (groups == 1L) list(value) else unname(value)
  moments <- function(group) list(variables = rownames(group$cov), mean = as.numeric(group$mean), cov = plain(group$cov))
  scored <- function(method) {
    scores <- lavPredict(fit, method = method, se = "standard")
    values <- per_group(scores)
    list(latent = colnames(values[[1L]]), values = lapply(values, first, rows),
         se = lapply(unname(attr(scores, "se")), first, rows),
         observed = lapply(per_group(lavPredict(fit, type = "ov", method = method)), named, rows))
  }
  list(
    cases = lapply(per_group(lavInspect(fit, "case.idx")), utils::head, rows),
    residuals = sapply(RESIDUALS, function(type) lapply(per_group(resid(fit, type = type)), moments), simplify = FALSE),
    regression = if (length(lavNames(fit, "lv"))) scored("regression"),
    bartlett = if (length(lavNames(fit, "lv"))) scored("bartlett"),
    # lavScores() of 0.6-14 stops if any row was dropped.
    scores = tryCatch(first(lavScores(fit), rows), error = function(e) NULL),
    scores_all = tryCatch(
      first(lavScores(fit, ignore.constraints = TRUE, remove.duplicated = FALSE), rows), error = function(e) NULL
    ),
    casewise_loglik = lapply(per_group(lavInspect(fit, "loglik.casewise")), utils::head, rows)
  )
}

plain <- function(matrix) unname(unclass(matrix))
first <- function(matrix, rows) plain(utils::head(unclass(matrix), rows))
named <- function(matrix, rows) list(variables = colnames(matrix), values = first(matrix, rows))

main(commandArgs(trailingOnly = TRUE)[[1L]])
