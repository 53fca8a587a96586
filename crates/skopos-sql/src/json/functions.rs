//! The functions behind the JSON operators, and how the operators become them.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, StringViewArray, StringViewBuilder,
};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr,
};
use datafusion::logical_expr::{
    ColumnarValue, Expr, GetFieldAccess, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::walk;

/// Name of the function behind `->`.
const GET: &str = "json_get";
/// Name of the function behind `->>`.
const GET_TEXT: &str = "json_get_text";

/// `json_get(json, key)`: the value as JSON.
pub(crate) fn json_get() -> ScalarUDF {
    ScalarUDF::new_from_impl(Get::new(false))
}

/// `json_get_text(json, key)`: the value as text.
pub(crate) fn json_get_text() -> ScalarUDF {
    ScalarUDF::new_from_impl(Get::new(true))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Get {
    as_text: bool,
    signature: Signature,
}

/// What to look for.
enum Path {
    Key(String),
    Place(i64),
}

impl Get {
    fn new(as_text: bool) -> Self {
        Self { as_text, signature: Signature::any(2, Volatility::Immutable) }
    }

    fn operator(&self) -> &'static str {
        if self.as_text { "->>" } else { "->" }
    }

    fn value<'a>(&self, json: &'a str, path: &Path) -> Option<Cow<'a, str>> {
        let value = match path {
            Path::Key(key) => walk::member(json, key),
            Path::Place(place) => walk::item(json, *place),
        }?;
        if self.as_text { walk::text(value) } else { Some(Cow::Borrowed(value)) }
    }

    fn look_up<'a>(
        &self,
        texts: impl Iterator<Item = Option<&'a str>>,
        path: &Path,
    ) -> StringViewArray {
        let mut out = StringViewBuilder::with_capacity(texts.size_hint().0);
        for json in texts {
            out.append_option(json.and_then(|json| self.value(json, path)));
        }
        out.finish()
    }

    fn look_up_array(&self, array: &ArrayRef, path: &Path) -> Result<ArrayRef> {
        Ok(match array.data_type() {
            DataType::Utf8 => Arc::new(self.look_up(array.as_string::<i32>().iter(), path)),
            DataType::LargeUtf8 => Arc::new(self.look_up(array.as_string::<i64>().iter(), path)),
            DataType::Utf8View => Arc::new(self.look_up(array.as_string_view().iter(), path)),
            DataType::Null => Arc::new(StringViewArray::new_null(array.len())),
            // Text that repeats is looked into once.
            DataType::Dictionary(..) => {
                let repeated: &DictionaryArray<Int32Type> = array.as_dictionary();
                let found = self.look_up_array(repeated.values(), path)?;
                compute::take(&found, repeated.keys(), None)?
            }
            other => return exec_err!("{} reads JSON text, not {other}", self.operator()),
        })
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(key, value) => **key == DataType::Int32 && is_text(value),
        _ => false,
    }
}

impl ScalarUDFImpl for Get {
    fn name(&self) -> &str {
        if self.as_text { GET_TEXT } else { GET }
    }

    /// Columns of an answer are named as the operator was written.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [json, path] => {
                let json = json.schema_name();
                let operator = self.operator();
                Ok(match path.as_literal().map(|path| (path, path.try_as_str())) {
                    Some((_, Some(Some(key)))) => format!("{json} {operator} '{key}'"),
                    Some((place, _)) => format!("{json} {operator} {place}"),
                    None => format!("{json} {operator} {}", path.schema_name()),
                })
            }
            _ => Ok(self.name().to_owned()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [json, path] = types else {
            return plan_err!("{} takes JSON text and a key", self.name());
        };
        if !is_text(json) {
            return plan_err!("{} reads JSON text, and {json} is none", self.operator());
        }
        if !is_text(path) && !path.is_integer() {
            return plan_err!("{} takes a key or a number, not {path}", self.operator());
        }
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [json, path] = args.args.as_slice() else {
            return exec_err!("{} takes JSON text and a key", self.name());
        };
        let ColumnarValue::Scalar(path) = path else {
            return exec_err!("the key of {} must be the same for all rows", self.operator());
        };
        let path = match path.try_as_str() {
            Some(Some(key)) => Path::Key(key.to_owned()),
            Some(None) => return Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(None))),
            None => match path.cast_to(&DataType::Int64)? {
                ScalarValue::Int64(Some(place)) => Path::Place(place),
                _ => return Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(None))),
            },
        };
        match json {
            ColumnarValue::Array(array) => {
                Ok(ColumnarValue::Array(self.look_up_array(array, &path)?))
            }
            ColumnarValue::Scalar(json) => {
                let json = json.try_as_str().flatten();
                let found = json.and_then(|json| self.value(json, &path)).map(Cow::into_owned);
                Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(found)))
            }
        }
    }
}

/// When `expr` is `column->>'key'` or `column->'key'`: the column, the key, and whether it is text.
pub(crate) fn look_up_of(expr: &Expr) -> Option<(&str, &str, bool)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let as_text = match call.func.name() {
        GET_TEXT => true,
        GET => false,
        _ => return None,
    };
    match call.args.as_slice() {
        [Expr::Column(column), Expr::Literal(key, _)] => {
            Some((column.name(), key.try_as_str().flatten()?, as_text))
        }
        _ => None,
    }
}

/// Turns the operators into the functions, and `attributes['key']` into `attributes->>'key'`.
#[derive(Debug)]
pub(crate) struct JsonOperators {
    get: Arc<ScalarUDF>,
    get_text: Arc<ScalarUDF>,
}

impl Default for JsonOperators {
    fn default() -> Self {
        Self { get: Arc::new(json_get()), get_text: Arc::new(json_get_text()) }
    }
}

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let function = match expr.op {
            BinaryOperator::Arrow => &self.get,
            BinaryOperator::LongArrow => &self.get_text,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        Ok(PlannerResult::Planned(function.call(vec![expr.left, expr.right])))
    }

    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        use datafusion::logical_expr::ExprSchemable as _;
        let key = match &expr.field_access {
            GetFieldAccess::NamedStructField { name } => Expr::Literal(name.clone(), None),
            GetFieldAccess::ListIndex { key } => (**key).clone(),
            GetFieldAccess::ListRange { .. } => return Ok(PlannerResult::Original(expr)),
        };
        if !is_text(&expr.expr.get_type(schema)?) {
            return Ok(PlannerResult::Original(expr));
        }
        Ok(PlannerResult::Planned(self.get_text.call(vec![expr.expr, key])))
    }
}
