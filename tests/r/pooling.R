# What mice, semTools and mitml make of the analyses in a JSON file, run on the imputations in a CSV file: JSON.
suppressMessages({
  library(lavaan)
  library(semTools)
  library(mice)
  library(mitml)
  library(jsonlite)
})

named <- function(x) {
  x <- unclass(x)
  x <- x[is.finite(x)]
  as.list(setNames(as.numeric(x), names(x)))
}

of_matrix <- function(x) named(setNames(as.numeric(x), c("F", "df1", "df2", "pvalue", "riv")))

quietly <- function(expr) suppressWarnings(suppressMessages(expr))

# Ordinary least squares.
regression <- function(case, tables) {
  # mice and mitml evaluate the calls again, which must not name anything of this function
  fitted <- function(text) lapply(tables, function(d) do.call(lm, list(formula = as.formula(text), data = d)))
  full <- fitted(case$full)
  small <- fitted(case$restricted)
  table <- summary(pool(full), conf.int = TRUE)
  rules <- pool(full)$pooled
  d4 <- lapply(c(default = "default", positive = "positive", robust = "robust"), function(riv) {
    of_matrix(testModels(full, small, method = "D4", ariv = riv)$test)
  })
  list(
    table = cbind(table, rules[c("riv", "lambda", "fmi", "ubar", "b", "t", "dfcom")]),
    D1 = of_matrix(D1(full, small)$result),
    D1_large = of_matrix(testModels(full, small, method = "D1")$test),
    D2 = of_matrix(testModels(full, small, method = "D2", use = "likelihood")$test),
    D3 = of_matrix(testModels(full, small, method = "D3")$test),
    D4 = d4,
    logliks = list(full = sapply(full, logLik), restricted = sapply(small, logLik))
  )
}

# Structural equation models.
equations <- function(case, tables) {
  options <- case$options
  fitted <- function(model, ...) {
    quietly(do.call(runMI, c(list(model = model, data = tables, fun = case$fun), options, list(...))))
  }
  alone <- function(model) {
    lapply(tables, function(d) quietly(do.call(case$fun, c(list(model = model, data = d), options))))
  }
  # without constraints lavaan can be made to go on to the last digits
  full <- fitted(case$full, optim.method = "BFGS", control = list(reltol = 1e-16))
  small <- fitted(case$restricted)
  table <- function(...) {
    found <- quietly(summary(full, output = "data.frame", ci = TRUE, fmi = TRUE, standardized = TRUE, ...))
    lapply(as.list(as.data.frame(found)), function(x) if (is.numeric(x)) ifelse(is.finite(x), x, NA) else x)
  }
  robust <- identical(options$estimator, "MLR")
  lrt <- function(...) named(quietly(lavTestLRT.mi(small, full, asymptotic = robust, ...)))
  measures <- function(test) named(quietly(fitMeasures(full, test = test, asymptotic = TRUE)))
  answer <- list(
    rubin = table(scale.W = FALSE), scaled = table(scale.W = TRUE),
    D2 = lrt(test = "D2"), D3 = lrt(test = "D3"), measures_D2 = measures("D2"), measures_D3 = measures("D3")
  )
  if (!robust) {
    f <- alone(case$full)
    s <- alone(case$restricted)
    answer$D4 <- lapply(c(default = "default", positive = "positive", robust = "robust"), function(riv) {
      of_matrix(quietly(testModels(f, s, method = "D4", ariv = riv, data = tables))$test)
    })
  }
  if (nzchar(case$wald)) answer$D1 <- named(quietly(lavTestWald.mi(full, case$wald, test = "D1", scale.W = TRUE)))
  answer
}

arguments <- commandArgs(trailingOnly = TRUE)
cases <- fromJSON(arguments[1], simplifyDataFrame = FALSE)
long <- read.csv(arguments[2])
tables <- lapply(split(long, long$.imp), function(d) d[setdiff(names(d), c(".imp", ".id"))])
answers <- lapply(cases, function(case) if (case$kind == "regression") regression(case, tables) else equations(case, tables))
packages <- c("lavaan", "semTools", "mice", "mitml")
answers$versions <- setNames(lapply(packages, function(p) as.character(packageVersion(p))), packages)
writeLines(toJSON(answers, digits = NA, auto_unbox = TRUE, na = "null", null = "null"), arguments[3])
