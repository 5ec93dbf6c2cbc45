# The way of an R user, from data to report; stops at the first thing that is not as it should be.
# Rscript front.R FOSA.R FOLDER

arguments <- commandArgs(trailingOnly = TRUE)
source(arguments[[1L]])
folder <- arguments[[2L]]

# ---- data of all types -------------------------------------------------------------------------------------------

data <- lavaan::HolzingerSwineford1939
for (name in paste0("x", 1:6)) data[[name]][(seq_len(301) * nchar(name) * 7 + as.integer(substr(name, 2, 2)) * 13) %% 9 == 0] <- NA
data$whole <- c(NA, seq_len(300))
data$truth <- c(TRUE, NA, FALSE)[1L + seq_len(301) %% 3L]
data$text <- c(NA, "ä", "two words")[1L + seq_len(301) %% 3L]
data$level <- factor(data$text, levels = c("two words", "ä"))
data$rank <- factor(data$text, levels = c("ä", "two words"), ordered = TRUE)
data$day <- as.Date("2020-02-28") + c(NA, seq_len(300))
data$time <- as.POSIXct("2020-02-28 01:02:03", tz = "Europe/Berlin") + c(NA, seq_len(300))
data$`odd name` <- seq_len(301) / 3
model <- "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6"

# ---- fit -------------------------------------------------------------------------------------------------------

fit <- fosa_sem(model, data, func = "cfa", std.lv = TRUE)
reference <- lavaan::cfa(model, data, missing = "fiml", std.lv = TRUE)
stopifnot(
  inherits(fit, "fosa_sem"), fit$converged, fit$nobs == 301,
  is.data.frame(fit$parameters), is.data.frame(fit$standardized), is.data.frame(fit$r2),
  abs(fit$fit_measures[["logl"]] - as.numeric(lavaan::logLik(reference))) < 1e-4,
  max(abs(coef(fit) - as.numeric(lavaan::coef(reference)))) < 1e-3,
  max(abs(vcov(fit) - unclass(lavaan::vcov(reference)))) < 1e-3,
  max(abs(as.matrix(predict(fit)) - unclass(lavaan::lavPredict(reference)))) < 1e-3,
  identical(as.data.frame(fit), fit$parameters)
)
print(fit)

# A model that lavaan has fitted says everything itself.
grouped <- lavaan::cfa(model, data, missing = "fiml", group = "school", group.equal = c("loadings", "intercepts"))
robust <- lavaan::sem("visual =~ x1 + x2 + x3\nvisual ~ a*ageyr + b*agemo\nboth := a + b", data, missing = "fiml",
                      estimator = "MLR")
for (theirs in list(reference, grouped, robust)) {
  for (ours in list(fosa_sem(theirs, data), fosa_sem(theirs))) {
    shared <- intersect(names(ours$fit_measures), names(lavaan::fitMeasures(theirs)))
    shared <- grep("^(logl|chisq|df|npar|cfi|aic)", shared, value = TRUE)
    stopifnot(length(shared) > 4L,
              max(abs(ours$fit_measures[shared] - as.numeric(lavaan::fitMeasures(theirs)[shared]))) < 1e-2)
  }
}
stopifnot("both" %in% ours$parameters$lhs)

# ---- impute ----------------------------------------------------------------------------------------------------

filled <- fosa_impute(model, data, func = "cfa", refine = FALSE)
completed <- as.data.frame(filled)
others <- setdiff(names(data), paste0("x", 1:6))
stopifnot(
  identical(names(completed), names(data)), nrow(completed) == 301,
  !anyNA(completed[paste0("x", 1:6)]), identical(completed[others], data[others]),
  identical(completed$x1[!is.na(data$x1)], data$x1[!is.na(data$x1)]),
  identical(unname(as.matrix(filled$imputed)), unname(is.na(as.matrix(data[paste0("x", 1:6)])))),
  all(as.matrix(filled$sd)[as.matrix(filled$imputed)] > 0)
)
print(filled)
refined <- fosa_impute(model, data, func = "cfa", epochs = 2, seed = 1)
stopifnot(inherits(refined, "fosa_impute"), !anyNA(as.data.frame(refined)$x1))

# ---- compare, report -------------------------------------------------------------------------------------------

check <- fosa_crosscheck(fit)
stopifnot(inherits(check, "fosa_crosscheck"), check$ok, nrow(as.data.frame(check)) > 1000,
          all(c("quantity", "ours", "lavaan", "verdict") %in% names(check$table)))
print(check)
stopifnot(fosa_crosscheck(grouped)$ok, fosa_crosscheck(model, data, func = "cfa", estimator = "MLR")$ok)

path <- fosa_report(fit, file.path(folder, "report.md"), crosscheck = check)
stopifnot(any(grepl("Comparison with lavaan", readLines(path, encoding = "UTF-8"))))
fosa_report(filled, file.path(folder, "filled.txt"))
fosa_report(model, file.path(folder, "model.txt"), data = data)

# ---- errors, and nothing left behind -----------------------------------------------------------------------------

message_of <- function(task) tryCatch({ task; "" }, error = conditionMessage)
stopifnot(
  grepl("line 1, column 16: 'x33' is not a column", message_of(fosa_sem("f =~ x1 + x2 + x33", data)), fixed = TRUE),
  grepl("did you mean 'std_lv'", message_of(fosa_sem(model, data, std.lw = TRUE)), fixed = TRUE),
  grepl("must be a data.frame", message_of(fosa_sem(model, list(1))), fixed = TRUE),
  grepl("string in lavaan's syntax", message_of(fosa_sem(1, data)), fixed = TRUE)
)
mark <- file.path(folder, "mark")
hostile <- sprintf("\"); file.create('%s'); (\"", mark)
stopifnot(nzchar(message_of(fosa_sem(hostile, data))), !file.exists(mark))
warned <- tryCatch(fosa_sem("x1 ~ ageyr", transform(data, ageyr = c(NA, ageyr[-1L]))), warning = conditionMessage)
stopifnot(grepl("1 of 301 rows were dropped", warned, fixed = TRUE))
set.seed(7)
random_before <- .Random.seed
options_before <- options()
invisible(list(fosa_sem(model, data), fosa_impute(model, data, epochs = 2), fosa_crosscheck(model, data)))
stopifnot(identical(.Random.seed, random_before), identical(options(), options_before))
cat("all as it should be\n")
